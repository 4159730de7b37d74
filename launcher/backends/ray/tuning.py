"""Ray Tune's ends of the queue: a searcher that hands out attempts, what is told of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.search.search_generator import SearchGenerator

from launcher.backends.ray.attempt import AttemptNews
from launcher.backends.ray.mover import Attempt, RayMover
from launcher.backends.ray.trainable import NEWS, PRUNED, train_attempt

LINGER_S = 10.0
"""How long a driver waits for further jobs: it takes seconds to start, and a search adds jobs when
others have ended."""


SPARE_S = 5.0
"""How long the worker of an ended attempt is kept for the next one."""


class Handed:
    """The attempts that Tune has, by its own ids of them."""

    def __init__(self, mover: RayMover) -> None:
        self.mover = mover
        self.by_trial: dict[str, Attempt] = {}

    def over(self, trial_id: str) -> None:
        """Tune has done with it."""
        attempt = self.by_trial.get(trial_id)
        if attempt is not None:
            attempt.over_at = time.monotonic()


class JobSearcher(Searcher):  # type: ignore[misc]  # Ray has no types
    """Suggests the next attempt of a queue, for as long as there is anything to move.

    Args:
        handed: shared with the others.
        leave: gives the queue up if nothing in it can move; whether that is so.
    """

    def __init__(self, handed: Handed, leave: Callable[[], bool]) -> None:
        super().__init__()
        self._handed = handed
        self._leave = leave
        self._idle_since: float | None = None

    def suggest(self, trial_id: str) -> Mapping[str, Any] | str | None:
        """The config of an attempt, None while none is due, or that there will be none."""
        mover = self._handed.mover
        if mover.look():
            self._idle_since = None
        elif self._has_waited() and self._leave():
            return str(Searcher.FINISHED)
        attempt = mover.next_attempt()
        if attempt is None:
            return None
        self._handed.by_trial[trial_id] = attempt
        return attempt.config

    def _has_waited(self) -> bool:
        now = time.monotonic()
        self._idle_since = self._idle_since or now
        return now - self._idle_since >= LINGER_S

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Take in what an attempt says of itself."""
        attempt = self._handed.by_trial.get(trial_id)
        if attempt is not None and NEWS in result:
            attempt.news = AttemptNews.model_validate_json(result[NEWS])

    def on_trial_complete(
        self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False
    ) -> None:
        """An attempt is over, whatever came of it."""
        if result is not None:
            self.on_trial_result(trial_id, result)
        if not error:
            self._handed.over(trial_id)  # of an error, `JobCallback` hears more

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the queue is in files of its own."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the queue is in files of its own."""


class JobSearch(SearchGenerator):  # type: ignore[misc]  # Ray has no types
    """The searcher as Tune runs it; says when workers of ended attempts need not be kept.

    Tune gives an ended attempt's worker to one that waits, as a new worker takes seconds to start,
    and holds the last one until the search has finished: while the others run, for hours, with
    its GPUs. So this one has finished for as long as attempts run and none is to come.
    """

    def __init__(self, searcher: JobSearcher, mover: RayMover) -> None:
        super().__init__(searcher)
        self._mover = mover

    def is_finished(self) -> bool:
        """Whether no attempt will be suggested now."""
        return bool(super().is_finished()) or self._mover.is_idle(SPARE_S)


class JobScheduler(FIFOScheduler):  # type: ignore[misc]  # Ray has no types
    """In their order; ends what is not wanted any more, and what its own trainer has pruned."""

    def __init__(self, handed: Handed) -> None:
        super().__init__()
        self._handed = handed

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Tune asks in every pass: the moment to take back what waits in vain."""
        for trial in list(tune_controller.get_live_trials()):
            attempt = self._handed.by_trial.get(trial.trial_id)
            if attempt is not None and attempt.unwanted and trial.status == trial.PENDING:
                tune_controller.stop_trial(trial)
        return super().choose_trial_to_run(tune_controller)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:
        """Stop a trial in Tune's eyes too when its trainer has left it to its pruner."""
        return str(TrialScheduler.STOP if result.get(PRUNED) else TrialScheduler.CONTINUE)


class JobCallback(tune.Callback):  # type: ignore[misc]  # Ray has no types
    """Keeps the queue moving, and tells it of starts and of errors."""

    def __init__(self, handed: Handed) -> None:
        self._handed = handed

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Look at the queue: Tune does not ask its searcher while enough trials wait."""
        self._handed.mover.look()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The first worker of an attempt is there; it has not begun yet."""
        attempt = self._handed.by_trial.get(trial.trial_id)
        if attempt is not None:
            self._handed.mover.begun(attempt)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Ray has lost a worker of an attempt."""
        attempt = self._handed.by_trial.get(trial.trial_id)
        if attempt is not None:
            attempt.error = _words(trial.error_file)
        self._handed.over(trial.trial_id)


def _words(error_file: str | None) -> str:
    """What Ray says of a worker that it has lost, without the number of the failure."""
    try:
        lines = Path(error_file or "").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "Ray does not say why"
    return " ".join(line.strip() for line in lines if not line.startswith("Failure #"))


def tune_jobs(mover: RayMover, leave: Callable[[], bool], storage: Path) -> None:
    """Let Tune run the jobs of a queue until none is left that can move.

    Args:
        mover: of the queue.
        leave: gives the queue up if nothing in it can move; whether that is so.
        storage: where Tune may write; nothing is ever read from there.
    """
    handed = Handed(mover)
    searcher = JobSearcher(handed, leave)
    tune.Tuner(
        tune.with_resources(train_attempt, _placement),
        tune_config=tune.TuneConfig(
            search_alg=JobSearch(searcher, mover),
            scheduler=JobScheduler(handed),
            num_samples=-1,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=tune.RunConfig(
            name="jobs", storage_path=str(storage), callbacks=[JobCallback(handed)], verbose=0
        ),
    ).fit()


def _placement(config: Mapping[str, Any]) -> Any:
    """One bundle a node, each on a node of its own."""
    asked = config["bundles"]
    strategy = "STRICT_SPREAD" if len(asked) > 1 else "PACK"
    return tune.PlacementGroupFactory(asked, strategy=strategy)
