"""The documentation is true: links lead somewhere, commands exist and work."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
Shell = Callable[..., subprocess.CompletedProcess[str]]

SHORT = (
    " --set train.duration=1ep --set optim.warmup=0ep --set seeds=[0]"
    " --set model.depth=1 --set augment.strength=0.5"
)
"""Makes a sweep of the README short enough for a test."""


def commands_of(page: Path) -> list[str]:
    """The lines of a page's ```sh blocks, without comments."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_make_demo_runs_what_the_readme_shows() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    demo = makefile.partition("\ndemo:")[2].partition("\n\n")[0]
    run = [line.strip().removeprefix("$(BIN)/") for line in demo.splitlines()[1:]]
    assert run
    assert set(run) <= set(commands_of(ROOT / "README.md"))


def runnable(command: str) -> str | None:
    """A README command as a test can afford it; None where it cannot be run here."""
    words = command.split()
    if "--partition" in words:
        return None  # tests/slurm
    if words[1:2] == ["tensorboard"]:
        return None  # tests/launcher/test_tensorboard_command.py
    if words[0] == "deit-launch" and words[1] == "sweep":
        if "quickstart" in command:
            return None  # test_sweep_to_report.py
        command = command.replace("--profile fashion", "--profile laptop")  # the data may be absent
        return command if "--dry-run" in words else command + SHORT
    if words[0] in ("deit-launch", "deit-report"):
        return command
    assert words[0] in ("make", "export", "sudo", "tensorboard"), f"untested: {command}"
    return None


@pytest.mark.slow
def test_the_readme_commands_work_in_their_order(shell: Shell, tmp_path: Path) -> None:
    from test_own_images import make_folder

    readme = ROOT / "README.md"
    make_folder(tmp_path / "my_images")
    config = re.findall(r"```yaml\n(data: .*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "mine.yaml").write_text(config[0].replace("10ep", "1ep"))
    commands = [command for line in commands_of(readme) if (command := runnable(line))]
    assert len(commands) >= 6
    for command in commands:
        printed = shell(command)
        assert "Traceback" not in printed.stdout + printed.stderr
