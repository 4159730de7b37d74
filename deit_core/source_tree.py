"""Which code runs: the commit, and what differs from it. Torch-free.

A job runs a snapshot of the code, taken when it was submitted; code.json beside the packages says
of which commit. Code that is run from where it was written asks git.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

PATCH_LIMIT_BYTES = 1_000_000
_NOTE = "code.json"


@dataclass(frozen=True)
class SourceState:
    """Commit and uncommitted changes of a source tree."""

    sha: str | None = None
    """None for an installed package, of which no commit is known."""
    patch: str = ""
    """`git diff HEAD`, cut at 1 MB; empty for a clean tree."""


def import_root() -> Path:
    """The folder that holds the packages."""
    return Path(__file__).resolve().parents[1]


def source_state(root: Path) -> SourceState:
    """State of the code below a folder: as a snapshot's note says, else as git says."""
    try:
        noted = json.loads((root / _NOTE).read_bytes())
        return SourceState(noted["sha"], noted["patch"])
    except (OSError, ValueError, KeyError, TypeError):
        return _asked_of_git(root)


def note_source_state(root: Path, state: SourceState) -> None:
    """Write down what the code below a folder is. Raises OSError."""
    note = {"sha": state.sha, "patch": state.patch}
    (root / _NOTE).write_text(json.dumps(note, indent=2), encoding="utf-8")


def _asked_of_git(root: Path) -> SourceState:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=20, errors="replace"
        ).stdout

    try:
        if not git("ls-files", "--", "deit_core/config.py").strip():
            return SourceState()  # an environment inside some other repository
        sha = git("rev-parse", "HEAD").strip()
        return SourceState(sha, git("diff", "HEAD")[:PATCH_LIMIT_BYTES])
    except (OSError, subprocess.SubprocessError):
        return SourceState()
