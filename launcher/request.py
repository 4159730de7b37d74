"""A sweep to carry out: what a sweep file, or an existing sweep folder, amounts to."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, field, replace

from deit_core.errors import SchemaError
from deit_core.pruning import PrunerRecord
from deit_core.records import PlannedTrial, PlanRecord
from deit_core.run_dir import RunDir
from launcher.bench.section import BenchSettings
from launcher.expand import Expansion, Trial, expand
from launcher.pruning_check import resolve_pruner
from launcher.repair import is_damaged
from launcher.resources import Resources
from launcher.search.identity import search_identity
from launcher.search.records import SearchDir, SearchRecord
from launcher.search.setup import checked_search, measured_apart, timed_metrics
from launcher.sweep import Sweep
from launcher.sweep_dir import SweepDir, sweep_hash
from launcher.trial_dirs import Sharing


@dataclass(frozen=True)
class Request:
    """Name, trials and resources of a sweep, and where they come from."""

    name: str
    expansion: Expansion
    resources: Resources = field(default_factory=Resources)
    text: str = ""
    """Verbatim sweep file."""
    source: str = ""
    description: str = ""
    command: str = ""
    throttled: bool = False
    """Whether `resources.max_parallel` is what `deit-launch throttle` said."""
    pruner: PrunerRecord | None = None
    """How its trials are compared; None where none is stopped early."""
    bench: BenchSettings | None = None
    """How its models are measured; None where that is not asked for."""
    search: SearchRecord | None = None
    """Of a search, whose trials become known one after another."""

    @property
    def digest(self) -> str:
        """Identity of the sweep: its name and its set of trials, or what is searched."""
        if self.search is not None:
            return sweep_hash(self.name, [search_identity(self.search)])
        return sweep_hash(self.name, [trial.trial_id for trial in self.expansion.trials])

    @property
    def sharing(self) -> Sharing:
        """What it can use of the trials of other sweeps."""
        return Sharing(
            prunes=self.pruner is not None and self.pruner.mode == "prune",
            apart=self.search is not None and bool(timed_metrics(self.search.search)),
        )

    def record(self, created_utc: str, backend: str) -> PlanRecord:
        """plan.json of the sweep, whose trials are started on a backend."""
        return PlanRecord(
            sweep=self.name,
            description=self.description,
            sweep_hash=self.digest,
            created_utc=created_utc,
            command=self.command,
            source=self.source,
            axes=self.expansion.axes,
            trials=tuple(_planned(trial) for trial in self.expansion.trials),
            notes=self.expansion.notes,
            resources=self.resources.model_dump(mode="json"),
            throttled=self.throttled,
            backend=backend,
            pruner=None if self.pruner is None else self.pruner.model_dump(mode="json"),
            bench=None if self.bench is None else self.bench.model_dump(mode="json"),
        )

    def with_trials_of(self, earlier: Request) -> Request:
        """A search with the points that its folder has already; all else as it is."""
        if self.search is None:
            return self
        trials = earlier.expansion.trials
        expansion = replace(self.expansion, trials=trials, cells=len(trials))
        return replace(self, expansion=expansion)

    def throttled_as(self, earlier: PlanRecord) -> Request:
        """The same with what `deit-launch throttle` has said of the sweep since it was started."""
        if not earlier.throttled:
            return self
        update = {"max_parallel": earlier.resources.get("max_parallel")}
        return replace(self, resources=self.resources.model_copy(update=update), throttled=True)


def _planned(trial: Trial) -> PlannedTrial:
    return PlannedTrial(
        trial_id=trial.trial_id,
        group_id=trial.group_id,
        name=trial.name,
        role=trial.role,
        seed=trial.seed,
        swept=trial.swept,
    )


def request_of(sweep: Sweep) -> Request:
    """Expand a sweep file, or set up its search. Raises SweepError."""
    search = None if sweep.space is None else checked_search(sweep, sweep.space)
    resources, notes = sweep.resources, sweep.notes
    if search is not None:
        resources, apart = measured_apart(search.search, resources)
        notes = (*notes, *apart)
    axes = () if sweep.space is None else sweep.space.fields
    expansion = expand(sweep) if search is None else Expansion((), axes, 0, notes)
    return Request(
        name=sweep.name,
        expansion=expansion,
        pruner=resolve_pruner(sweep, expansion.trials),
        search=search,
        bench=sweep.bench,
        resources=resources,
        text=sweep.text,
        source=str(sweep.source),
        description=sweep.description,
        command=shlex.join(["deit-launch", *sys.argv[1:]]),
    )


def read_request(sweep_dir: SweepDir) -> Request:
    """The sweep that a folder holds, for commands that are not given its file.

    Trials without a config (see `without_config`) are left out.

    Raises:
        RunDirError: the plan or a trial's config cannot be read.
        SchemaError: it was written by a newer version.
    """
    record, search = sweep_dir.read_plan(), SearchDir(sweep_dir)
    lost = without_config(sweep_dir, record)
    trials = tuple(_trial(sweep_dir, one) for one in record.trials if one.trial_id not in lost)
    try:
        resources = Resources.model_validate(record.resources)
    except ValueError as error:
        first = str(error).splitlines()[0]
        raise SchemaError(f"{sweep_dir.plan_file} is damaged: resources: {first}") from None
    return Request(
        name=record.sweep,
        expansion=Expansion(trials, record.axes, len(trials), record.notes),
        resources=resources,
        source=record.source,
        description=record.description,
        command=record.command,
        throttled=record.throttled,
        pruner=_pruner_of(record, sweep_dir),
        bench=bench_of(record, sweep_dir),
        search=search.read_search() if search.exists() else None,
    )


def bench_of(record: PlanRecord, sweep_dir: SweepDir) -> BenchSettings | None:
    """`bench` of a sweep's plan. Raises SchemaError."""
    try:
        return None if record.bench is None else BenchSettings.model_validate(record.bench)
    except ValueError as error:
        first = str(error).splitlines()[0]
        raise SchemaError(f"{sweep_dir.plan_file} is damaged: bench: {first}") from None


def _pruner_of(record: PlanRecord, sweep_dir: SweepDir) -> PrunerRecord | None:
    if record.pruner is None:
        return None
    return PrunerRecord.from_json(record.pruner, f"{sweep_dir.plan_file}: pruner")


def without_config(sweep_dir: SweepDir, record: PlanRecord) -> set[str]:
    """Ids of trials that only `sweep` can make again.

    They were deleted with the sweep they are linked from, or a power cut has emptied their config.
    """
    files = {one.trial_id: RunDir(sweep_dir.trials / one.trial_id) for one in record.trials}
    return {
        trial_id
        for trial_id, run in files.items()
        if not run.config_file.exists() or is_damaged(run.config_file)
    }


def _trial(sweep_dir: SweepDir, planned: PlannedTrial) -> Trial:
    config = RunDir(sweep_dir.trials / planned.trial_id).read_config()
    teacher = config.teacher.trial if config.teacher else None
    return Trial(
        trial_id=planned.trial_id,
        group_id=planned.group_id,
        name=planned.name,
        role=planned.role,
        seed=planned.seed,
        swept=planned.swept,
        config=config,
        after=(teacher,) if teacher else (),
    )
