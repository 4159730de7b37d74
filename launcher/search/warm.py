"""What a search learns from other sweeps: their finished trials that could be points of its own.

A trial counts if this search would make the very same trial of its values: so everything that is
not searched is equal, whatever decides a trial's identity.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deit_core.config import RunConfig
from deit_core.errors import RunDirError, SchemaError
from deit_core.records import SummaryRecord
from deit_core.run_dir import RunDir
from launcher.errors import LaunchError, SweepError
from launcher.fields import value_at
from launcher.observe import has_result
from launcher.search.ask import expand_point
from launcher.search.outcomes import mean_of, violations
from launcher.search.records import SearchDir, SearchRecord, WarmRecord
from launcher.search.space import Parameter, Values
from launcher.sweep_dir import SweepDir, sweep_folders
from launcher.text import listing

MOST_TRIALS = 2_000
"""Finished trials that are looked at, the newest sweep first."""


@dataclass(frozen=True)
class _Finished:
    config: RunConfig
    summary: SummaryRecord


class _OutsideError(Exception):
    """A value that the space does not have."""


def find_warm(
    record: SearchRecord, runs: Path, own: SearchDir
) -> tuple[tuple[WarmRecord, ...], tuple[str, ...]]:
    """Finished points of other sweeps, by the start of `search.warm_start`.

    What an earlier call has learnt is kept where its sweep has been deleted since.

    Args:
        record: what is searched.
        runs: the folder of all sweeps.
        own: the search as it is so far, whose points it knows anyway.

    Returns:
        The points, and what a user should know.

    Raises:
        LaunchError: a sweep is named that the runs folder does not have, and never had.
        RunDirError, SchemaError: files of the search that cannot be read.
    """
    wanted = record.search.warm_start
    if wanted is False:
        return (), ()
    before = own.read_search() if own.exists() else None
    earlier = before.search.warm_start if before is not None else False
    folders = [f for f in reversed(sweep_folders(runs)) if f.name != own.path.parent.name]
    gone: list[str] = []
    if wanted is not True:
        folders, gone = _named(folders, wanted, () if isinstance(earlier, bool) else earlier)
    learnt = () if before is None else _learnt_before(record, before)
    mine = {name for point in own.read_points() for name in point.trial_ids}
    found = {
        warm.trial_ids: warm
        for warm in (*learnt, *_points(record, _finished_in(folders)))
        if mine.isdisjoint(warm.trial_ids)
    }
    return tuple(found.values()), tuple(
        f"search.warm_start: there is no sweep {name!r} any more; what was learnt from it is kept"
        for name in gone
    )


def _named(
    folders: Sequence[Path], names: Collection[str], earlier: Collection[str]
) -> tuple[list[Path], list[str]]:
    """Sweep folders of these names, and names of sweeps that an earlier call has still found."""
    known = {folder: {folder.name, _sweep_name(folder)} for folder in folders}
    gone = [name for name in names if not any(name in each for each in known.values())]
    for name in gone:
        if name not in earlier:
            there = listing(folder.name for folder in folders) or "none"
            raise LaunchError(
                f"search.warm_start: there is no sweep {name!r} in the runs folder; it has {there}"
            )
    return [folder for folder, each in known.items() if each & set(names)], gone


def _learnt_before(record: SearchRecord, before: SearchRecord) -> tuple[WarmRecord, ...]:
    """What an earlier call of the same search has learnt, as far as this one asks for it too."""
    wanted, earlier = record.search.warm_start, before.search.warm_start
    asked = wanted is True or (
        not isinstance(wanted, bool)
        and not isinstance(earlier, bool)
        and set(earlier) <= set(wanted)
    )
    bounds = {str(bound) for bound in record.search.bounds}
    return tuple(one for one in before.warm if asked and one.violations.keys() == bounds)


def _finished_in(folders: Iterable[Path]) -> dict[str, _Finished]:
    """Finished trials by id."""
    finished: dict[str, _Finished] = {}
    for folder in folders:
        for run in _finished_trials(folder):
            if len(finished) >= MOST_TRIALS:
                break
            read = None if run.path.name in finished else _read(run)
            if read is not None:
                finished[run.path.name] = read
    return finished


def _sweep_name(folder: Path) -> str:
    try:
        return SweepDir(folder).read_plan().sweep
    except (RunDirError, SchemaError):
        return ""


def _finished_trials(folder: Path) -> Iterator[RunDir]:
    try:
        paths = sorted(SweepDir(folder).trials.iterdir())
    except OSError:
        return
    yield from (run for run in map(RunDir, paths) if has_result(run))


def _read(run: RunDir) -> _Finished | None:
    try:
        summary = run.read_summary()
        return None if summary is None else _Finished(run.read_config(), summary)
    except (RunDirError, SchemaError):
        return None  # damaged, or of another version: nothing to learn from


def _points(record: SearchRecord, finished: dict[str, _Finished]) -> Iterator[WarmRecord]:
    done: set[str] = set()
    for name, one in finished.items():
        if name in done:
            continue
        params = _params(record, one.config)
        ids = () if params is None else _ids(record, params)
        if name not in ids or not finished.keys() >= set(ids):
            continue
        done.update(ids)
        pairs = [(finished[each].config, finished[each].summary) for each in ids]
        values = [mean_of(metric, pairs) for metric in record.search.objective]
        known = tuple(value for value in values if value is not None)
        if params is not None and len(known) == len(values):
            broken = violations(record.search, pairs)
            yield WarmRecord(params=dict(params), values=known, violations=broken, trial_ids=ids)


def _params(record: SearchRecord, config: RunConfig) -> Values | None:
    """A trial's values of the searched fields; None where the space does not have them."""
    values = config.model_dump(mode="json")

    def look_up(parameter: Parameter) -> Any:
        value = value_at(values, parameter.field)
        if not parameter.holds(value):
            raise _OutsideError
        return value

    try:
        return record.space.choose(record.base, look_up)
    except _OutsideError:
        return None


def _ids(record: SearchRecord, params: Values) -> tuple[str, ...]:
    """The trials that the search would make of these values."""
    try:
        expansion = expand_point(record, params)
    except SweepError:
        return ()
    return tuple(trial.trial_id for trial in expansion.trials if trial.role == "student")
