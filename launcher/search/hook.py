"""What moves jobs calls this when one has left: searches may want to go on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from deit_core.errors import RunDirError
from deit_core.source_tree import import_root
from launcher.search.records import SearchDir, search_of
from launcher.sweep_dir import SweepDir, sweep_folders

REFILL = (sys.executable, "-m", "launcher.search.refill")


def goes_on(runs: Path, group: str) -> bool:
    """Whether the sweep of a job is a search that may have more to do.

    Also one that asks for no more: trials whose jobs were lost are gone on with. Not one that the
    user has stopped or paused.

    Raises:
        RunDirError, SchemaError: its files cannot be read.
    """
    if not group:
        return False
    search = SearchDir(SweepDir(runs / group))
    return search.exists() and not search.is_stopped()


def searches_of(runs: Path, group: str, run_dirs: Sequence[str]) -> list[str]:
    """The searches for which it matters that a job has left.

    Args:
        runs: the folder of all sweeps.
        group: the job's own sweep.
        run_dirs: of its trials, which other searches may wait for: they link what they share.

    Returns:
        Names of sweep folders.

    Raises:
        RunDirError: the runs folder cannot be read.
    """
    names = [Path(path).name for path in run_dirs]
    return [
        folder.name
        for folder in sweep_folders(runs)
        if search_of(folder) is not None
        and (folder.name == group or any((folder / "trials" / n).is_symlink() for n in names))
    ]


def start_refill(
    search: SweepDir,
    command: Sequence[str],
    *,
    code: str | None,
    environment: Mapping[str, str],
    options: Sequence[str] = (),
) -> subprocess.Popen[bytes]:
    """Start a process that goes on with a search.

    It outlives whoever starts it; all that it knows is in files.

    Args:
        search: the sweep.
        command: the trainer of its next jobs.
        code: the snapshot of the code to go on with; None: what is installed.
        environment: of the process and of the jobs that it submits.
        options: of `launcher.search.refill`.

    Raises:
        RunDirError: it cannot be started.
    """
    try:
        with open(SearchDir(search).log_file, "ab") as log:
            return subprocess.Popen(
                [*REFILL, *options, str(search.path), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=code or import_root(),  # what Python looks for modules in first
                env=environment,
                start_new_session=True,
            )
    except OSError as error:
        raise RunDirError(f"cannot go on with the search: {error.strerror}") from error
