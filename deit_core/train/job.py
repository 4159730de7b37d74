"""A job: one process that trains the trials of some run directories as one cohort."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from deit_core.config import RunConfig
from deit_core.cores import granted_cores
from deit_core.errors import LostProcessError, RunDirError, UserError
from deit_core.records import FINISHED_STATES, EnvRecord, FailureKind, State
from deit_core.run_dir import RunDir
from deit_core.train.build import begin_attempt, build_shared, check_cohort
from deit_core.train.cohort import Cohort
from deit_core.train.dist import Ranks, name_lost_processes, open_ranks, ranks_of
from deit_core.train.env import (
    choose_device,
    describe_environment,
    set_threads,
    shortage_of_cores,
)
from deit_core.train.progress import open_progress
from deit_core.train.signals import StopRequest
from deit_core.train.student import Student
from deit_core.train.trackers import PATIENCE_S, PATIENCE_WHEN_STOPPED_S, leave_trackers
from deit_core.train.trainer import Shared, Trainer

_log = logging.getLogger(__name__)

EXIT_OK = 0
EXIT_CRASHED = 1
EXIT_USER_ERROR = 2
EXIT_DIVERGED = 3
EXIT_PREEMPTED = 85


def run_job(paths: Sequence[Path]) -> int:
    """Train what is neither completed nor pruned in these run directories; returns the exit code.

    Raises:
        UserError: the directories or their configs are not valid; their status says so too.
    """
    stop = StopRequest().install()
    runs = [RunDir(path) for path in paths]
    for run in runs:
        run.read_trial()
    given = ranks_of(os.environ)
    with open_ranks(given, on_gpu=_wants_gpu(runs[0])) as ranks, contextlib.ExitStack() as locks:

        def take() -> list[State | None]:
            for run in runs:
                locks.enter_context(run.lock())
            return [_ended(run) for run in runs]

        ended = ranks.lead(take)
        for run, state in zip(runs, ended, strict=True):
            if state is not None and ranks.leads:
                sys.stdout.write(f"{run.read_trial().name}: already {state}\n")
        open_runs = [run for run, state in zip(runs, ended, strict=True) if state is None]
        return _train_guarded(open_runs, stop, ranks) if open_runs else EXIT_OK


def _wants_gpu(run: RunDir) -> bool:
    """Which way the processes meet; what is wrong with the config is said later, in its status."""
    try:
        return torch.cuda.is_available() and run.read_config().train.device != "cpu"
    except UserError:
        return False


def _ended(run: RunDir) -> State | None:
    """How it ended, where nothing is left to train; what failed is tried again."""
    state = run.read_status().state
    if state == "completed" and run.read_summary() is None:
        return None
    return state if state in ("completed", "pruned") else None


def _train_guarded(runs: Sequence[RunDir], stop: StopRequest, ranks: Ranks) -> int:
    if not ranks.leads:
        return _train(runs, stop, ranks)
    return guarded(runs, lambda: _train(runs, stop, ranks))


def guarded(runs: Sequence[RunDir], work: Callable[[], int]) -> int:
    """Do a job's work; what ends it is written to the status of all that it leaves unfinished."""
    try:
        return work()
    except UserError as error:
        _mark_failed(runs, str(error), "user_error")
        raise
    except LostProcessError as error:
        _mark_failed(runs, str(error), "crashed")
        raise
    except KeyboardInterrupt:
        for run in _unfinished(runs):
            status = run.read_status()
            run.write_status(
                status.model_copy(update={"state": "preempted", "reason": "interrupted twice"})
            )
        return EXIT_PREEMPTED
    except Exception as error:
        _mark_failed(runs, f"{type(error).__name__}: {error}", "crashed")
        raise


def _train(runs: Sequence[RunDir], stop: StopRequest, ranks: Ranks) -> int:
    with name_lost_processes(ranks):
        configs, device = ranks.together(lambda: _read_configs(runs, ranks))
        threads = set_threads(configs[0].train)
        shortage = shortage_of_cores(threads, configs[0].data.workers, granted_cores())
        if shortage is not None and ranks.leads:
            _log.info(shortage)
        ranks.lead(lambda: _begin(runs, describe_environment(device, threads)))
        shared, steps_per_epoch = ranks.together(
            lambda: build_shared(configs, runs[0], device, ranks)
        )
        view = open_progress([run.read_trial().name for run in runs], leads=ranks.leads)
        try:
            cohort = Cohort(runs, configs, shared)
            students = cohort.build(steps_per_epoch, view, leave_out=_mark_one_failed)
            _train_students(students, shared, stop)
        finally:
            view.close()
        return ranks.lead(lambda: _exit_code(runs))


def _read_configs(runs: Sequence[RunDir], ranks: Ranks) -> tuple[list[RunConfig], torch.device]:
    configs = [run.read_config() for run in runs]
    device = choose_device(configs[0].train, ranks.local_rank)
    check_cohort(runs, configs)
    return configs, device


def _train_students(students: Sequence[Student], shared: Shared, stop: StopRequest) -> None:
    try:
        Trainer(students, shared, stop).train()
    except Exception:
        for student in students:
            with contextlib.suppress(RunDirError):
                student.note_position()
        raise
    finally:
        sinks = [sink for student in students for sink in student.sinks]
        leave_trackers(sinks, PATIENCE_WHEN_STOPPED_S if stop else PATIENCE_S)


def _begin(runs: Sequence[RunDir], env: EnvRecord) -> None:
    for run in runs:
        begin_attempt(run, env)


def _mark_one_failed(run: RunDir, reason: str, failure: FailureKind) -> None:
    _mark_failed([run], reason, failure)


def _unfinished(runs: Sequence[RunDir]) -> list[RunDir]:
    return [run for run in runs if run.read_status().state not in FINISHED_STATES]


def _mark_failed(runs: Sequence[RunDir], reason: str, failure: FailureKind) -> None:
    """Write the failure down where that is still possible: the disk may be full."""
    for run in _unfinished(runs):
        with contextlib.suppress(RunDirError):
            run.write_status(
                run.read_status().model_copy(
                    update={
                        "state": "failed",
                        "reason": " ".join(reason.split()),
                        "failure": failure,
                        "finished_unix_s": time.time(),
                        "eta_s": None,
                    }
                )
            )


def _exit_code(runs: Sequence[RunDir]) -> int:
    statuses = [run.read_status() for run in runs]
    if any(status.state == "preempted" for status in statuses):
        return EXIT_PREEMPTED
    failures = {status.failure for status in statuses if status.state == "failed"}
    if "crashed" in failures:
        return EXIT_CRASHED
    if "user_error" in failures:
        return EXIT_USER_ERROR
    return EXIT_DIVERGED if failures else EXIT_OK
