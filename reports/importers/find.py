"""Which runs there are in a folder, and by which program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deit_core.imported import Program
from reports.errors import ReportError
from reports.importers.deit_log import NAME as DEIT_LOG
from reports.importers.deit_log import read_deit_log
from reports.importers.event_files import PATTERN, read_events
from reports.importers.run import Reader
from reports.importers.timm_summary import NAME as TIMM_SUMMARY
from reports.importers.timm_summary import read_timm

READERS: Mapping[Program, Reader] = {
    "timm": read_timm,
    "deit": read_deit_log,
    "tensorboard": read_events,
}
"""A folder with files of several programs is read by the first of them."""
_MOST_DEPTH = 4


@dataclass(frozen=True)
class Found:
    """One run that can be read."""

    program: Program
    path: Path
    """summary.csv, log.txt, or a folder of event files."""
    name: str
    """Of its folder, as seen from the source."""
    variant: str | None = None
    """Name that the user gave the source; runs that share it are seeds of one variant."""


def find_runs(source: str, only: Program | None = None) -> list[Found]:
    """The runs in a file or folder, or in the folders below it, sorted by path.

    Args:
        source: a path, or NAME=PATH.
        only: runs of this program only.

    Raises:
        ReportError: there is no such path, or it holds no run.
    """
    path, variant = _split(source)
    if not path.exists():
        raise ReportError(f"there is no {path} to import")
    if path.is_file():
        program = _of_file(path)
        if program is None or only not in (None, program):
            raise ReportError(f"{path} is no {DEIT_LOG}, {TIMM_SUMMARY} or event file")
        target = path.parent if program == "tensorboard" else path
        return [Found(program, target, path.absolute().parent.name, variant)]
    found = [
        Found(program, target, _name(folder, path), variant)
        for folder in _folders(path, _MOST_DEPTH)
        if (run := _of_folder(folder, only)) is not None
        for program, target in [run]
    ]
    if not found:
        raise ReportError(
            f"{path} holds no run: no {TIMM_SUMMARY} of timm, no {DEIT_LOG} of DeiT and no "
            f"TensorBoard event file"
        )
    return found


def looks_foreign(path: Path) -> bool:
    """Whether a folder holds runs of another program, itself or one level below."""
    return any(_of_folder(folder, None) is not None for folder in _folders(path, 1))


def _split(source: str) -> tuple[Path, str | None]:
    name, sign, path = source.partition("=")
    if sign and name and "/" not in name and not Path(source).exists():
        return Path(path), name
    return Path(source), None


def _name(folder: Path, source: Path) -> str:
    relative = folder.relative_to(source).as_posix()
    return folder.absolute().name if relative == "." else relative


def _folders(path: Path, depth: int) -> Iterator[Path]:
    yield path
    if depth == 0:
        return
    try:
        children = sorted(child for child in path.iterdir() if child.is_dir())
    except OSError:
        return
    for child in children:
        yield from _folders(child, depth - 1)


def _of_folder(folder: Path, only: Program | None) -> tuple[Program, Path] | None:
    candidates: list[tuple[Program, Path]] = []
    if (folder / TIMM_SUMMARY).is_file():
        candidates.append(("timm", folder / TIMM_SUMMARY))
    if (folder / DEIT_LOG).is_file():
        candidates.append(("deit", folder / DEIT_LOG))
    if any(folder.glob(PATTERN)):
        candidates.append(("tensorboard", folder))
    return next((one for one in candidates if only in (None, one[0])), None)


def _of_file(path: Path) -> Program | None:
    if path.name == TIMM_SUMMARY or path.suffix == ".csv":
        return "timm"
    if "tfevents" in path.name:
        return "tensorboard"
    return "deit" if path.suffix in (".txt", ".jsonl", ".log") else None
