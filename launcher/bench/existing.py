"""Measuring the models of a sweep that is there, because the user asks for just that."""

from __future__ import annotations

from pathlib import Path

from launcher.backends.base import Backend
from launcher.bench.plan import Ask, run_dirs
from launcher.bench.section import BenchSettings
from launcher.bench.stage import NOTHING_TRAINED, measure, with_bench
from launcher.bench.targets import Model, models_of
from launcher.carry_out import Outcome
from launcher.errors import LaunchError
from launcher.live_jobs import observe_sweep
from launcher.locks import locked
from launcher.plan import Situation, make_plan
from launcher.request import bench_of, read_request
from launcher.search.records import SearchDir
from launcher.sweep_dir import SweepDir


def bench_existing(
    sweep_dir: SweepDir, backend: Backend, ask: Ask, partition: str | None = None
) -> tuple[Outcome, list[Model]]:
    """Order what is not measured yet; returns what was done, and the models that are meant.

    Args:
        sweep_dir: the sweep.
        backend: where to measure.
        ask: for what.
        partition: of SLURM, instead of the sweep's.

    Raises:
        LaunchError: there is no model to measure, or it needs a GPU and there is none.
        UserError: see `order_bench`.
    """
    with locked(sweep_dir.lock_file):
        request = read_request(sweep_dir)
        resources = request.resources
        if partition is not None:
            resources = resources.model_copy(update={"partition": partition})
        resources = backend.settle(resources)
        seen = observe_sweep(sweep_dir, request, backend)
        situation = Situation(seen, backend.name, None)
        plan = make_plan(request.name, request.expansion, resources, situation, NOTHING_TRAINED)
        trials = request.expansion.trials
        asked = [one for one in trials if ask.only is None or one.trial_id in ask.only]
        paths = run_dirs(sweep_dir, asked, seen)
        with_data = "training_with_data" in ask.settings.protocol.quantities
        models = models_of(trials, paths, seen, with_data=with_data)
        if not models:
            raise LaunchError(_why_none(sweep_dir, len(asked)))
        plan = with_bench(plan, sweep_dir, seen, backend, ask)
        outcome = measure(Outcome(sweep_dir, plan, paths), backend)
    return outcome, models


def bench_ended_search(sweep_dir: SweepDir, backend: Backend) -> None:
    """Order the measurement of a search that asks for no more points, once. Nobody asks for it.

    Raises:
        UserError: see `bench_existing`.
    """
    settings = bench_of(sweep_dir.read_plan(), sweep_dir)
    search = SearchDir(sweep_dir)
    ended = search.read_ended() if search.exists() else None
    if settings is not None and ended is not None and not ended.stopped:
        bench_existing(sweep_dir, backend, Ask(settings, unasked=True))


def _why_none(sweep_dir: SweepDir, trials: int) -> str:
    if not trials:
        return f"{sweep_dir.path} has no trials, so there is no model to measure"
    return (
        f"{sweep_dir.path} has no model to measure: its {trials} trials have failed, were pruned, "
        f"or are teachers"
    )


def settings_of(given: BenchSettings | None, **options: object) -> BenchSettings:
    """The sweep's own settings, or the defaults, with what options say; None says nothing.

    Args:
        given: `bench` of the sweep.
        options: fields of the settings, and `training` and `with_data`: whether these are measured.
    """
    settings = given or BenchSettings()
    update = {name: value for name, value in options.items() if value is not None}
    if update.get("fast"):
        update |= {"warmup_s": None, "timed_s": None}
    training, with_data = update.pop("training", None), update.pop("with_data", None)
    wanted = set(settings.protocol.quantities)
    if training is True:
        wanted.add("training")
    if training is False:
        wanted -= {"training", "training_with_data"}
    if with_data:
        wanted.add("training_with_data")
    order = ("inference", "training", "training_with_data")
    update["quantities"] = tuple(name for name in order if name in wanted)
    return settings.model_copy(update=update)


def find_run(path: Path) -> tuple[SweepDir, str]:
    """The sweep of a run directory, and the trial's id.

    Raises:
        LaunchError: this is neither a sweep folder nor the run directory of one.
    """
    run = path.resolve()
    sweep_dir = SweepDir(run.parent.parent)
    if run.parent.name != sweep_dir.trials.name or not sweep_dir.plan_file.exists():
        raise LaunchError(
            f"{path} is neither a sweep folder, nor a run directory in one, nor a sweep file"
        )
    if run.name not in {trial.trial_id for trial in sweep_dir.read_plan().trials}:
        raise LaunchError(f"{path} is no trial of {sweep_dir.path}")
    return sweep_dir, run.name
