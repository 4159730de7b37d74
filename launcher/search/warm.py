"""What a search learns from other sweeps: their finished trials that could be points of its own.

A trial counts if this search would make the very same trial of its values: so everything that is
not searched is equal, whatever decides a trial's identity.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
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
from launcher.search.records import SearchRecord, WarmRecord
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


def find_warm(record: SearchRecord, runs: Path, own: Path) -> tuple[WarmRecord, ...]:
    """Finished points of other sweeps, by the start of `search.warm_start`.

    Args:
        record: what is searched.
        runs: the folder of all sweeps.
        own: the sweep's own folder, whose points it knows anyway.

    Raises:
        LaunchError: a sweep is named that the runs folder does not have.
    """
    wanted = record.search.warm_start
    if wanted is False:
        return ()
    finished: dict[str, _Finished] = {}
    for folder in _chosen(runs, own, () if wanted is True else wanted):
        for run in _finished_trials(folder):
            if len(finished) >= MOST_TRIALS:
                break
            read = None if run.path.name in finished else _read(run)
            if read is not None:
                finished[run.path.name] = read
    return tuple(_points(record, finished))


def _chosen(runs: Path, own: Path, names: Collection[str]) -> list[Path]:
    """Sweep folders, newest first: all, or those of these names."""
    folders = [folder for folder in reversed(sweep_folders(runs)) if folder.name != own.name]
    if not names:
        return folders
    named = {folder: {folder.name, _sweep_name(folder)} for folder in folders}
    for name in names:
        if not any(name in known for known in named.values()):
            there = listing(folder.name for folder in folders) or "none"
            raise LaunchError(
                f"search.warm_start: there is no sweep {name!r} in {runs}; it has {there}"
            )
    return [folder for folder, known in named.items() if known & set(names)]


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
