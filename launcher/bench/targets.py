"""Which models a sweep has, and which of them are not measured yet."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from deit_core.errors import RunDirError
from deit_core.run_dir import RunDir
from deit_core.throughput_key import throughput_key
from deit_core.throughput_records import BenchProtocol, BenchTarget, ThroughputRecord
from launcher.expand import Trial
from launcher.observe import Observation

_LEFT_OUT = frozenset({"failed", "pruned", "damaged"})
"""Conditions of trials for whose sake alone nothing is measured: they have no accuracy."""


@dataclass(frozen=True)
class Model:
    """One model of a sweep, and the run directories of all trials that have it."""

    key: str
    trials: tuple[Trial, ...]
    run_dirs: tuple[Path, ...]

    @property
    def label(self) -> str:
        """Readable: the first variant that has it, and how many others do."""
        first = self.trials[0]
        parts = [part for part in first.name.split(",") if not part.startswith("seed=")]
        variant = ",".join(parts) or first.config.model.name
        others = len({trial.group_id for trial in self.trials}) - 1
        return f"{variant} (+{others})" if others else variant

    def target(self) -> BenchTarget:
        """As bench.json has it."""
        return BenchTarget(
            key=self.key,
            label=self.label,
            config=self.trials[0].config.model_dump(mode="json"),
            run_dirs=tuple(map(str, self.run_dirs)),
        )


def models_of(
    trials: Sequence[Trial],
    paths: Mapping[str, Path],
    seen: Mapping[str, Observation],
    *,
    with_data: bool = False,
) -> list[Model]:
    """The students' models, each once, in plan order.

    A model whose trials have all failed or were pruned is left out.

    Args:
        trials: all of a sweep; teachers among them are no models of it.
        paths: run directories by trial id, of those whose models are meant.
        seen: how trials stand; those that are missing are new.
        with_data: whether they are measured with the data loader, too: then that tells models
            apart as well.
    """
    taught = {trial.trial_id: trial.config for trial in trials if trial.role == "teacher"}
    by_key: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.role == "student" and trial.trial_id in paths:
            teacher = taught.get(trial.after[0]) if trial.after else None
            key = throughput_key(trial.config, teacher, with_data=with_data)
            by_key.setdefault(key, []).append(trial)
    return [
        Model(key, tuple(members), tuple(paths[trial.trial_id] for trial in members))
        for key, members in by_key.items()
        if any(_condition(trial, seen) not in _LEFT_OUT for trial in members)
    ]


def _condition(trial: Trial, seen: Mapping[str, Observation]) -> str:
    one = seen.get(trial.trial_id)
    return "new" if one is None else one.condition


@dataclass(frozen=True)
class Missing:
    """What is to be done about the models of a sweep."""

    to_measure: tuple[Model, ...] = ()
    to_copy: tuple[tuple[ThroughputRecord, Path], ...] = ()
    """Records of models that were measured, for trials that came later."""
    measured: int = 0
    """Models that need nothing, or a copy."""
    ordered: int = 0
    """Models that a job is to measure already."""


def what_is_missing(
    models: Sequence[Model],
    protocol: BenchProtocol,
    device: str,
    ordered: Collection[str],
    *,
    again: bool,
) -> Missing:
    """Compare models with the records of their runs.

    Args:
        models: of the sweep.
        protocol: how they are to be measured.
        device: `cpu` or `cuda`, where they are to be measured.
        ordered: run directories whose records a job is to write.
        again: whether what could not be measured is tried again.
    """
    missing = Missing()
    for model in models:
        records = {path: _record_of(path, model.key, protocol, device) for path in model.run_dirs}
        valid = [one for one in records.values() if one and (one.error is None or not again)]
        without = [path for path, record in records.items() if record not in valid]
        if not without:
            missing = replace(missing, measured=missing.measured + 1)
        elif any(str(path) in ordered for path in model.run_dirs):
            missing = replace(missing, ordered=missing.ordered + 1)
        elif valid:
            copies = tuple((valid[0], path) for path in without)
            missing = replace(
                missing, measured=missing.measured + 1, to_copy=(*missing.to_copy, *copies)
            )
        else:
            missing = replace(missing, to_measure=(*missing.to_measure, model))
    return missing


def _record_of(
    path: Path, key: str, protocol: BenchProtocol, device: str
) -> ThroughputRecord | None:
    """The record of a run, if it answers what is asked."""
    try:
        record = RunDir(path).read_throughput()
    except RunDirError:
        return None  # damaged: it is measured again
    if record is None or (record.key, record.protocol) != (key, protocol):
        return None
    measured_on = None if record.conditions is None else record.conditions.device
    return record if measured_on in (None, device) else None


def records_of(models: Iterable[Model]) -> Iterator[tuple[Model, ThroughputRecord | None]]:
    """Each model with what is known of its speed, by whatever protocol."""
    for model in models:
        found = None
        for path in model.run_dirs:
            try:
                record = RunDir(path).read_throughput()
            except RunDirError:
                continue
            if record is not None and record.key == model.key:
                found = record
                break
        yield model, found
