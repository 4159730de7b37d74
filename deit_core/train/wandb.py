"""Weights & Biases: one run a trial, under the trial's id.

W&B's own step counts rows here (two a training step), so that W&B itself refuses a row it has; the
charts' axis is the metric `step`. Without a network (`mode: offline`) every attempt writes all rows
to a file of its own, and removes those of the attempts before: `wandb sync` sees one run.
"""

from __future__ import annotations

import os
import shutil
from typing import Any

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # before the import: it starts there

import wandb
from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError

from deit_core.config import RunConfig
from deit_core.records import SummaryRecord, TrialRecord
from deit_core.run_dir import RunDir
from deit_core.tracking import WandbConfig
from deit_core.train.sinks import scalars
from deit_core.train.trackers import Position, position_of, summary_scalars

_INIT_TIMEOUT_S = 15.0
_FINISH_TIMEOUT_S = 15.0


class WandbTracker:
    """The W&B run of one trial; several live side by side in a process."""

    name = "W&B"
    failures = (wandb.Error, OSError, MailboxClosedError, HandleAbandonedError)

    def __init__(
        self, given: WandbConfig, run: RunDir, trial: TrialRecord, config: RunConfig
    ) -> None:
        self._given = given
        self._run_dir = run
        self._trial = trial
        self._config = config

    def open(self) -> Position | None:
        """Begin the run, or go on with the one of this id.

        Raises:
            wandb.Error: no API key, no network.
            OSError: its files cannot be written.
        """
        settings = _settings()
        process = wandb.setup(settings=settings)
        mode = self._given.mode or process.settings.mode
        if mode == "online" and not wandb.login(verify=False, prompt=False):
            raise wandb.errors.UsageError(
                "no API key; run `wandb login`, or set logging.wandb.mode: offline"
            )
        if mode == "offline":
            self._remove_earlier()
        trial = self._trial
        self._run = wandb.init(
            project=self._given.project,
            entity=self._given.entity,
            tags=self._given.tags,
            mode=mode,
            id=trial.trial_id,
            name=trial.name,
            group=trial.group_id,
            job_type=trial.role,
            config={**self._config.model_dump(mode="json"), "swept": trial.swept},
            dir=str(self._run_dir.wandb_dir.parent),
            resume="allow",
            reinit="create_new",
            settings=settings,
        )
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("*", step_metric="step")
        return _position(self._run.step - 1) if self._run.step else None

    def log(self, row: dict[str, Any]) -> None:
        """Take one row."""
        values = {**scalars(row), "step": row["step"], "epoch": row["epoch"]}
        self._run.log(values, step=_number(position_of(row)))

    def close(self, state: str, summary: SummaryRecord | None) -> None:
        """Finish the run: preempted, failed or finished."""
        self._run.summary.update({"state": state, **summary_scalars(summary)})
        if state == "preempted":
            self._run.mark_preempting()
        self._run.finish(exit_code=1 if state in ("failed", "preempted") else 0)

    def _remove_earlier(self) -> None:
        folder = self._run_dir.wandb_dir
        for earlier in folder.glob(f"offline-run-*-{self._trial.trial_id}"):
            shutil.rmtree(earlier)


def _settings() -> wandb.Settings:
    """Nothing asked, printed, captured or measured beside the rows."""
    return wandb.Settings(
        silent=True,
        console="off",
        save_code=False,
        disable_code=True,
        disable_git=True,
        disable_job_creation=True,
        x_disable_meta=True,
        x_disable_stats=True,
        init_timeout=_INIT_TIMEOUT_S,
        finish_timeout=_FINISH_TIMEOUT_S,
    )


def _number(position: Position) -> int:
    return 2 * position.step + position.is_eval


def _position(number: int) -> Position:
    return Position(number // 2, number % 2 == 1)
