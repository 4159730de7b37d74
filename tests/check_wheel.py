"""Build the wheel and check what is in it: all code and templates, no output, nothing stray."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("deit_core", "launcher", "reports")
SUFFIXES = {".py", ".j2", ".css", ".js"}
DATA = "reports/reference/"
"""Published results: the one place of files that are neither code nor template."""


def expected_files() -> set[str]:
    """Every tracked file of the three packages."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *PACKAGES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return {name for name in listed if (ROOT / name).is_file()}


def wheel_files(folder: Path) -> set[str]:
    """Names inside a wheel built from the working tree, apart from its metadata."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def main() -> int:
    """Compare; returns the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        found = wheel_files(Path(folder))
    expected = expected_files()
    stray = {
        name for name in found if Path(name).suffix not in SUFFIXES and not name.startswith(DATA)
    }
    problems = [
        *(f"missing from the wheel: {name}" for name in sorted(expected - found)),
        *(f"should not be in the wheel: {name}" for name in sorted(found - expected | stray)),
    ]
    sys.stdout.write("\n".join(problems) + "\n" if problems else f"wheel: {len(found)} files\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
