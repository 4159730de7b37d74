"""The sweep folder: `<runs>/<date>_<name>_<hash4>/` with its trials, and the link to the newest.

sweep.yaml          the sweep file, verbatim
plan.json           every trial of the sweep (PlanRecord)
trials/<id>/        run directories; a trial that another sweep has is a relative link to it
tensorboard/<name>  event files by readable name; a link where the trial is one
report/             written by deit-report
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from deit_core.errors import RunDirError, SchemaError
from deit_core.records import PlanRecord
from deit_core.run_dir import read_json, write_atomic, write_json
from launcher.errors import LaunchError

LATEST = Path("reports") / "latest"
"""The newest sweep of the folder a command is called in."""


_ELSEWHERE = "choose another folder with --runs-dir"
_ADVICE = {
    errno.EACCES: f"; make it writable, or {_ELSEWHERE}",
    errno.EPERM: f"; make it writable, or {_ELSEWHERE}",
    errno.EROFS: f"; {_ELSEWHERE}",
    errno.EEXIST: f"; a file is in its place: move it, or {_ELSEWHERE}",
    errno.ENOTDIR: f"; a file is in its place: move it, or {_ELSEWHERE}",
    errno.ENOSPC: f"; free some space, or {_ELSEWHERE}",
}
"""What to do about an OSError, by its number."""


class SweepDir:
    """Paths of one sweep folder; constructing it touches nothing on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sweep_file = path / "sweep.yaml"
        self.plan_file = path / "plan.json"
        self.trials = path / "trials"
        self.tensorboard = path / "tensorboard"

    @property
    def runs(self) -> Path:
        """The folder all sweeps are in."""
        return self.path.parent

    @property
    def lock_file(self) -> Path:
        """Held while trials are created, linked and submitted anywhere in the runs folder."""
        return runs_lock(self.runs)

    def read_plan(self) -> PlanRecord:
        """plan.json.

        Raises:
            RunDirError: missing or not JSON.
            SchemaError: damaged, or from a newer version.
        """
        try:
            return PlanRecord.from_json(read_json(self.plan_file), str(self.plan_file))
        except RunDirError as error:
            if "damaged" not in str(error):
                raise
            raise SchemaError(
                f"{error}; delete this file and run the same sweep again: its trials are kept"
            ) from None

    def write_plan(self, plan: PlanRecord, text: str) -> None:
        """Write plan.json and sweep.yaml. Raises RunDirError."""
        write_atomic(self.sweep_file, text.encode())
        self.update_plan(plan)

    def update_plan(self, plan: PlanRecord) -> None:
        """Replace plan.json alone. Raises RunDirError."""
        write_json(self.plan_file, plan.model_dump(mode="json"))

    def trial_path(self, trial_id: str) -> Path | None:
        """Real path of a trial's run directory; None where there is none (or a dead link)."""
        path = self.trials / trial_id
        return path.resolve() if path.is_dir() else None


def runs_lock(runs: Path) -> Path:
    """The lock of a runs folder."""
    return runs / ".lock"


@contextlib.contextmanager
def one_line_errors(doing: str) -> Iterator[None]:
    """Turn an OSError into a RunDirError that says what could not be done, and why."""
    try:
        yield
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        advice = _ADVICE.get(error.errno or 0, "")
        raise RunDirError(f"cannot {doing}{where}: {error.strerror}{advice}") from error


def sweep_hash(name: str, trial_ids: Sequence[str]) -> str:
    """Identity of a sweep: its name and its set of trials."""
    text = "\n".join([name, *sorted(trial_ids)])
    return hashlib.sha256(text.encode()).hexdigest()


def choose_folder(runs: Path, name: str, digest: str) -> SweepDir:
    """The folder of this sweep, whatever day it was made on; else a new name for today.

    Raises:
        RunDirError: the runs folder cannot be read.
        SchemaError: the folder's plan.json is from a newer version.
    """
    slug = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "sweep"
    for length in (4, 8, 64):  # longer only where another sweep has the same short hash
        suffix = f"_{slug}_{digest[:length]}"
        found = sorted(folder for folder in sweep_folders(runs) if folder.name.endswith(suffix))
        matching = [folder for folder in found if _digest_of(folder) in (digest, None)]
        if matching:
            return SweepDir(matching[-1])
        if not found:
            return SweepDir(runs / f"{time.strftime('%Y-%m-%d')}{suffix}")
    raise LaunchError(f"{runs} holds other sweeps under every name for {name!r}")


def _digest_of(folder: Path) -> str | None:
    """Full hash of the sweep in a folder; None where its making was cut short."""
    sweep_dir = SweepDir(folder)
    return sweep_dir.read_plan().sweep_hash if sweep_dir.plan_file.exists() else None


def sweep_folders(runs: Path) -> list[Path]:
    """All sweep folders of a runs folder, by one look at it. Raises RunDirError."""
    if not runs.is_dir():
        return []
    with one_line_errors("read the runs folder"), os.scandir(runs) as entries:
        return sorted(
            Path(entry.path)
            for entry in entries
            if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
        )


def open_sweep(given: Path | None) -> SweepDir:
    """The sweep folder a command was given, by default the newest of this folder.

    Raises:
        LaunchError: there is no sweep folder.
    """
    path = given or LATEST
    if not path.exists():
        hint = "run `deit-launch sweep FILE` here first, or name a sweep folder"
        raise LaunchError(f"there is no sweep at {path}; {hint}")
    sweep_dir = SweepDir(path.resolve())
    if not sweep_dir.plan_file.exists():
        raise LaunchError(f"{path} is no sweep folder: plan.json is missing")
    return sweep_dir


def point_latest(sweep_dir: SweepDir, link: Path = LATEST) -> str | None:
    """Let `reports/latest` point to a sweep, in one step.

    The link is a convenience: where it cannot be made, the sweep goes on without it.

    Returns:
        A warning with the reason; None when the link is there.
    """
    instead = f"name the sweep's folder instead: {sweep_dir.path}"
    try:
        if link.exists() and not link.is_symlink():
            return f"{link} is no link, so it is left as it is; move it elsewhere, or {instead}"
        link.parent.mkdir(parents=True, exist_ok=True)
        replace_link(link, sweep_dir.path)
    except OSError as error:
        return f"cannot point {link} to this sweep ({error.strerror}); {instead}"
    return None


def is_latest(sweep_dir: SweepDir, link: Path = LATEST) -> bool:
    """Whether commands that are not given a sweep take this one."""
    try:
        return link.resolve(strict=True) == sweep_dir.path.resolve()
    except OSError:
        return False


def replace_link(link: Path, target: Path) -> None:
    """Make or replace a relative link atomically. Raises OSError."""
    relative = os.path.relpath(target.resolve(), link.parent.resolve())
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(relative)
    os.replace(temporary, link)
