"""The two commands, as a user calls them: in a folder of their own, in their own processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
Shell = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """Run a command line in an empty folder with the project's sweeps; checks the exit code."""
    (tmp_path / "sweeps").symlink_to(ROOT / "sweeps")
    environment = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "200",
    }

    def run(command: str, *, check: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            check=False,
            shell=True,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == check, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    yield run
    subprocess.run(
        "deit-launch cancel --all",
        check=False,
        shell=True,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
    )
