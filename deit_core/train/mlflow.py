"""MLflow: one run a trial, found again by its tag `trial_id`.

A row and the tag that says how far the run has come go out in one request, so neither is there
without the other.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import threading
from collections.abc import Iterator
from typing import Any

# Read at import: no usage statistics, and a server that does not answer is given up sooner.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

from alembic.util import CommandError
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from deit_core.config import RunConfig
from deit_core.records import SummaryRecord, TrialRecord
from deit_core.tracking import MlflowConfig, mlflow_uri
from deit_core.train.sinks import scalars
from deit_core.train.trackers import Position, position_of, summary_scalars

_STATUS = {"completed": "FINISHED", "failed": "FAILED", "pruned": "KILLED", "preempted": "KILLED"}
_POSITION = "last_row"
_PARAMS_A_REQUEST = 100
"""MLflow's limit (mlflow.utils.validation.MAX_PARAMS_TAGS_PER_BATCH)."""
_LONGEST_PARAM = 6000
"""MLflow's limit in characters (mlflow.utils.validation.MAX_PARAM_VAL_LENGTH)."""

_opening = threading.Lock()
logging.getLogger("mlflow").setLevel(logging.WARNING)


class MlflowTracker:
    """The MLflow run of one trial."""

    name = "MLflow"
    failures = (MlflowException, SQLAlchemyError, CommandError, OSError)

    def __init__(self, given: MlflowConfig, trial: TrialRecord, config: RunConfig) -> None:
        self._given = given
        self._trial = trial
        self._config = config

    def open(self) -> Position | None:
        """Begin the run, or go on with the one of this trial.

        Raises:
            MlflowException: the server or database does not answer, or refuses.
        """
        uri = mlflow_uri(self._given) or ""
        with one_at_a_time(uri):
            self._client = MlflowClient(tracking_uri=uri)
            experiment_id = self._experiment_id()
            run = self._find(experiment_id) or self._create(experiment_id)
        self._run_id = run.info.run_id
        self._client.update_run(self._run_id, status="RUNNING")
        self._log_params(known=run.data.params)
        position = run.data.tags.get(_POSITION)
        return None if position is None else _position(position)

    def log(self, row: dict[str, Any]) -> None:
        """Take one row."""
        position = position_of(row)
        at_ms, step = int(row["unix_s"] * 1000), row["step"]
        values = {**scalars(row), "epoch": row["epoch"]} if position.is_eval else scalars(row)
        metrics = [Metric(tag, float(value), at_ms, step) for tag, value in values.items()]
        tags = [RunTag(_POSITION, f"{position.step} {row['kind']}")]
        self._client.log_batch(self._run_id, metrics=metrics, tags=tags)

    def close(self, state: str, summary: SummaryRecord | None) -> None:
        """End the run: finished, failed or killed."""
        self._client.set_tag(self._run_id, "state", state)
        if summary is not None:
            at_ms = int(summary.finished_unix_s * 1000)
            values = summary_scalars(summary)
            metrics = [Metric(k, float(v), at_ms, summary.steps) for k, v in values.items()]
            self._client.log_batch(self._run_id, metrics=metrics)
        self._client.set_terminated(self._run_id, status=_STATUS[state])

    def _experiment_id(self) -> str:
        name = self._given.experiment
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name))
            except MlflowException:  # another job has just made it
                found = self._client.get_experiment_by_name(name)
                if found is None:
                    raise
        return str(found.experiment_id)

    def _find(self, experiment_id: str) -> Run | None:
        query = f"tags.trial_id = '{self._trial.trial_id}'"
        return next(iter(self._client.search_runs([experiment_id], query, max_results=1)), None)

    def _create(self, experiment_id: str) -> Run:
        trial = self._trial
        tags = {"trial_id": trial.trial_id, "group_id": trial.group_id, "role": trial.role}
        tags |= {f"swept.{field}": _text(value) for field, value in trial.swept.items()}
        return self._client.create_run(experiment_id, tags=tags, run_name=trial.name)

    def _log_params(self, known: dict[str, str]) -> None:
        """Params never change, so those of the first attempt stay."""
        values = dict(_flat(self._config.model_dump(mode="json"))).items()
        params = [Param(key, value) for key, value in values if key not in known]
        for start in range(0, len(params), _PARAMS_A_REQUEST):
            batch = params[start : start + _PARAMS_A_REQUEST]
            self._client.log_batch(self._run_id, params=batch)


@contextlib.contextmanager
def one_at_a_time(uri: str) -> Iterator[None]:
    """Keep trials that start together from making the same thing twice.

    A database without a server has its tables made by the first client, and is broken for good
    where two processes do that at once (mlflow 3.17, `mlflow.store.db.utils._initialize_tables`).
    """
    database = make_url(uri).database if uri.startswith("sqlite:") else None
    with _opening, contextlib.ExitStack() as stack:
        if database:
            lock = stack.enter_context(open(f"{database}.lock", "a", encoding="utf-8"))
            fcntl.flock(lock, fcntl.LOCK_EX)  # let go when the file is closed, or with the process
        yield


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _text(value)[:_LONGEST_PARAM]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _position(tag: str) -> Position:
    step, kind = tag.split()
    return Position(int(step), kind == "eval")
