"""How long the commands take to answer: --help, status-free planning of 10,000 trials.

    .venv/bin/python benchmarks/cli_speed.py

Prints the best and the median of five fresh processes, in seconds, beside an interpreter that does
nothing: the ratio travels between machines, the seconds do not.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPEATS = 5
BIN = Path(sys.executable).parent
SWEEP = """\
name: ten_thousand
base: {base}
teacher: {{base: {teacher}}}
set: {{distill.kind: soft}}
axes:
  distill.temperature: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
  distill.alpha: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
  augment.strength: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
seeds: 10
"""


def seconds(command: list[str], folder: Path) -> list[float]:
    """Wall times of fresh processes."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return times


def main() -> None:
    """Measure and print."""
    recipes = Path(__file__).resolve().parent.parent / "sweeps" / "recipes"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base, teacher = recipes / "deit_micro_digits.yaml", recipes / "convnet_digits.yaml"
        (folder / "sweep.yaml").write_text(SWEEP.format(base=base, teacher=teacher))
        launch, report = str(BIN / "deit-launch"), str(BIN / "deit-report")
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "deit-launch --help": [launch, "--help"],
            "deit-launch sweep --help": [launch, "sweep", "--help"],
            "deit-report --help": [report, "--help"],
            "plan 10,000 trials (--dry-run)": [launch, "sweep", "sweep.yaml", "--dry-run"],
        }
        nothing = 0.0
        for label, command in commands.items():
            times = seconds(command, folder)
            nothing = nothing or min(times)
            line = f"{label:32} best {min(times):6.3f}  median {statistics.median(times):6.3f}"
            sys.stdout.write(f"{line}  = {min(times) / nothing:6.1f} x nothing\n")


if __name__ == "__main__":
    main()
