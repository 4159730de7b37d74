"""Read a sweep folder: its plan, and what each planned trial left behind.

A trial whose directory is missing or damaged is a result too: it is kept, with the reason, and
the report goes on. Only a sweep folder without a readable plan is an error.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from deit_core.errors import SchemaError
from deit_core.records import PlannedTrial, PlanRecord
from reports.curves import points_per_trial
from reports.errors import ReportError
from reports.importers.find import looks_foreign
from reports.load_trial import TrialReader
from reports.results import SweepResults, TrialResult
from reports.search.files import read_search
from reports.strict_json import decode, printable
from reports.text import count

LATEST = Path("reports/latest")
_FIRST_SWEEP = "run `deit-launch sweep SWEEP.yaml` first, or name a sweep folder"
_FOLDER_NAME = re.compile(r"\w[\w.-]*", re.ASCII)
"""What a trial id may be: the name of a folder beside the others, and of nothing else."""
_MOST_YAML_BYTES = 1_000_000


def resolve_sweep(path: Path) -> Path:
    """The real path of a sweep folder, with links followed once and for all.

    Raises:
        ReportError: there is no such folder, or it is not a sweep folder.
    """
    real = Path(os.path.realpath(path))
    if not real.exists():
        if path.is_symlink():
            raise ReportError(f"{path} points to {real}, which is gone; {_FIRST_SWEEP}")
        if path == LATEST:
            raise ReportError(f"there is no {path} here yet; {_FIRST_SWEEP}")
        raise ReportError(f"there is no sweep folder {path}; {_FIRST_SWEEP}")
    if not real.is_dir():
        what = "give the sweep folder that holds plan.json, or use --from for a results.json"
        raise ReportError(f"{path} is a file; {what}")
    if not (real / "plan.json").exists():
        raise ReportError(f"{path} is not a sweep folder: it has no plan.json; {_hint(real)}")
    return real


def _hint(folder: Path) -> str:
    """What to give instead of a folder that is no sweep."""
    sweeps = sorted(child.parent.name for child in folder.glob("*/plan.json"))
    if not sweeps and looks_foreign(folder):
        what = "it looks like runs of another program, which can be taken in:"
        return f"{what} deit-report import {folder} --output DIR"
    if not sweeps:
        return _FIRST_SWEEP
    return f"it holds {len(sweeps)} of them, give one, such as {folder / sweeps[-1]}"


def load_sweep(
    path: Path, output: Path | None = None, reader: TrialReader | None = None
) -> SweepResults:
    """Read the sweep folder `path` (already resolved).

    Args:
        path: the folder that holds plan.json.
        output: the report's folder, for links; `path/report` if not given.
        reader: one that has read this folder before: it reads again only what has changed.

    Raises:
        ReportError: there is no plan that can be read.
    """
    plan = _read_plan(path / "plan.json")
    reader = reader or TrialReader(path / "trials")
    reader.most_points = points_per_trial(len(plan.trials))
    problems: list[str] = []
    refused = _contradictions(plan.trials)
    trials = [
        TrialResult(planned, "damaged", refused[number])
        if number in refused
        else reader.read(planned)
        for number, planned in _each_once(plan.trials, problems)
    ]
    trials.sort(key=lambda trial: trial.planned.role == "teacher")
    search = read_search(path)
    if search is None and (path / "search" / "search.json").exists():
        problems.append("search/search.json cannot be read: the search is left out")
    if search and search.get("damaged"):
        problems.append(f"search/points: {count(search['damaged'], 'damaged file')} left out")
    links = Path(os.path.relpath(path / "trials", output or path / "report")).as_posix()
    return SweepResults(
        folder=printable(path.name),
        links=quote(links),
        plan=plan.model_copy(update={"trials": tuple(trial.planned for trial in trials)}),
        sweep_yaml=_read_yaml(path / "sweep.yaml", problems),
        trials=tuple(trials),
        search=search,
        problems=tuple(problems),
    )


def _read_plan(file: Path) -> PlanRecord:
    """Raises ReportError."""
    try:
        return PlanRecord.from_json(decode(file.read_bytes()), str(file))
    except OSError as error:
        raise ReportError(f"cannot read {file}: {error.strerror}") from None
    except SchemaError as error:
        raise ReportError(str(error)) from None
    except ValueError as error:
        raise ReportError(f"{file} is damaged: {error}") from None


def _each_once(
    trials: Sequence[PlannedTrial], problems: list[str]
) -> list[tuple[int, PlannedTrial]]:
    """Planned trials with their place in the plan; of equal ids the first."""
    times = Counter(trial.trial_id for trial in trials)
    repeated = [trial_id for trial_id, number in times.items() if number > 1]
    problems += [f"plan.json lists trial {one} more than once: it counts once" for one in repeated]
    seen: set[str] = set()
    found = []
    for number, trial in enumerate(trials):
        if trial.trial_id not in seen:
            seen.add(trial.trial_id)
            found.append((number, trial))
    return found


def _contradictions(trials: Sequence[PlannedTrial]) -> dict[int, str]:
    """Why a planned trial, by its place in the plan, cannot be counted whatever it found."""
    first: dict[tuple[str, str, int], str] = {}
    refused = {}
    for number, trial in enumerate(trials):
        if not _FOLDER_NAME.fullmatch(trial.trial_id):
            refused[number] = "its id in plan.json is no name of a run directory"
            continue
        counted = first.setdefault((trial.role, trial.group_id, trial.seed), trial.trial_id)
        if counted != trial.trial_id:
            refused[number] = (
                f"plan.json has seed {trial.seed} of this variant twice; trial {counted} is the "
                f"one that counts"
            )
    return refused


def _read_yaml(file: Path, problems: list[str]) -> str | None:
    try:
        with open(file, "rb") as opened:
            data = opened.read(_MOST_YAML_BYTES + 1)
        if len(data) > _MOST_YAML_BYTES:
            problems.append("sweep.yaml is longer than 1 MB: it is not shown")
            return None
        return printable(data.decode())
    except FileNotFoundError:
        return None
    except OSError as error:
        problems.append(f"sweep.yaml cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        problems.append("sweep.yaml is damaged: it is not text in UTF-8")
    return None
