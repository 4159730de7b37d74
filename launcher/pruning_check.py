"""`search.pruner` of a sweep file: what it leaves open, and whether its trials can be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deit_core.config import RunConfig, parse_run_config
from deit_core.config_checks import nearest
from deit_core.duration import parse_duration
from deit_core.errors import ConfigError
from deit_core.pruning import PrunerRecord, rung_evaluation
from launcher.cost.workload import published_size
from launcher.errors import Location, SweepError
from launcher.expand import Trial
from launcher.layers import config_values
from launcher.search.config import Search
from launcher.search.metrics import EVALUATED, METRICS, missing_metric
from launcher.sweep import Sweep
from launcher.text import count

DEFAULT_METRIC = "val_top1"


def resolve_pruner(sweep: Sweep, trials: Sequence[Trial]) -> PrunerRecord | None:
    """The pruner of a sweep, fit to compare its trials; None where nothing is pruned.

    Args:
        sweep: the sweep.
        trials: all of them; of a search, of which none is known yet, its base stands for them.

    Raises:
        SweepError: a metric that evaluations do not report, or too few evaluations for the rungs.
    """
    record = pruner_of(sweep.search)
    if record is not None:
        configs = _compared(trials) if sweep.space is None else _base(sweep)
        check_pruner(record, configs, sweep.pruner_at)
    return record


def pruner_of(search: Search) -> PrunerRecord | None:
    """The pruner of a sweep, with what its file leaves open; None where nothing is pruned."""
    pruner = search.pruner
    if pruner is None:
        return None
    judged = [metric for metric in search.objective if metric in EVALUATED]
    metric = pruner.metric or (judged[0] if judged else DEFAULT_METRIC)
    given = dict(zip(search.objective, search.direction or (), strict=False))
    return PrunerRecord(
        metric=metric,
        direction=given.get(metric) or METRICS.get(metric, "maximize"),
        rungs=pruner.rungs,
        brackets=len(pruner.rungs) + 1 if pruner.method == "hyperband" else 1,
        reduction_factor=pruner.reduction_factor,
        mode=pruner.mode,
    )


def _compared(trials: Sequence[Trial]) -> dict[str, RunConfig]:
    """Configs of those of these trials that may be pruned, by name."""
    awaited = {name for trial in trials for name in trial.after}
    return {
        trial.name: trial.config
        for trial in trials
        if trial.role == "student" and trial.trial_id not in awaited
    }


def _base(sweep: Sweep) -> dict[str, RunConfig]:
    """What a search varies; nothing where that is valid with values of the search alone."""
    try:
        config = parse_run_config({**config_values(sweep.config), "seed": sweep.seeds[0]})
    except ConfigError:
        return {}
    return {"the base config": config}


def check_pruner(
    record: PrunerRecord, configs: Mapping[str, RunConfig], where: Location | None
) -> None:
    """Refuse a pruner that cannot compare these trials.

    Args:
        record: the pruner.
        configs: of the trials to be pruned, by name.
        where: position of `search.pruner`.

    Raises:
        SweepError: a metric that evaluations do not report, or too few evaluations for the rungs.
    """
    if record.metric not in EVALUATED:
        raise SweepError(
            f"search.pruner.metric: no evaluation reports {record.metric!r}"
            f"{nearest(record.metric, EVALUATED)}",
            where,
        )
    seen: set[tuple[object, ...]] = set()
    for name, config in configs.items():
        missing = missing_metric(record.metric, config)
        if missing is not None:
            raise SweepError(
                f"search.pruner.metric: {name} does not report {record.metric}, as {missing}; "
                f"compare by another metric, such as {DEFAULT_METRIC}",
                where,
            )
        schedule = (config.train.duration, config.eval.every)
        key = (*schedule, config.data, config.train.global_batch_size)
        if key not in seen:  # the images of a folder are counted once
            seen.add(key)
            _check_rungs(record.rungs, name, (*schedule, _steps_per_epoch(config)), where)


def _steps_per_epoch(config: RunConfig) -> int | None:
    images = published_size(config.data, "train")
    return None if images is None else max(1, images // config.train.global_batch_size)


def _check_rungs(
    rungs: tuple[float, ...],
    name: str,
    schedule: tuple[str, str, int | None],
    where: Location | None,
) -> None:
    lengths = _lengths(*schedule)
    if lengths is None:
        return  # only the trainer knows; it decides rungs that fall together one after the other
    falls = [rung_evaluation(rung, *lengths) for rung in rungs]
    last = rung_evaluation(1.0, *lengths)
    how = f"{name} (train.duration {schedule[0]}, eval.every {schedule[1]})"
    advice = "evaluate more often (eval.every), or give fewer rungs"
    if last <= len(rungs):
        raise SweepError(
            f"search.pruner.rungs: {count(len(rungs), 'rung')} and the end need "
            f"{len(rungs) + 1} evaluations, but {how} has {last}; {advice}",
            where,
        )
    for number, (rung, place) in enumerate(zip(rungs, falls, strict=True)):
        if place in falls[number + 1 :]:
            raise SweepError(
                f"search.pruner.rungs: {rung:g} and {rungs[number + 1]:g} fall on the same "
                f"evaluation of {how}, number {place} of {last}; move them apart, or {advice}",
                where,
            )
        if place == last:
            raise SweepError(
                f"search.pruner.rungs: {rung:g} falls on the last evaluation of {how}, where "
                f"nothing is left to stop; choose a smaller one, or {advice}",
                where,
            )


def _lengths(duration: str, every: str, per_epoch: int | None) -> tuple[float, float] | None:
    """Schedule and distance of evaluations in one unit; None where the data's size is needed."""
    total, step = parse_duration(duration), parse_duration(every)
    if per_epoch is not None:
        return max(1, total.steps(per_epoch)), max(1, step.steps(per_epoch))
    return (total.value, step.value) if total.unit == step.unit else None
