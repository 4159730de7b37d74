"""W&B and MLflow as they are, offline: what they hold afterwards is what metrics.jsonl says."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import re
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
import yaml
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from wandb.proto import wandb_internal_pb2

from deit_core.config import parse_run_config
from deit_core.errors import ConfigError
from deit_core.records import SummaryRecord
from deit_core.run_dir import RunDir
from deit_core.tracking import check_trackers
from deit_core.train.mlflow import one_at_a_time
from deit_core.train.sinks import scalars
from deit_core.train.student import Student
from deit_core.train.trackers import Position, TrackerSink, leave_trackers
from tests.deit_core.conftest import micro_values

RunFactory = Callable[..., RunDir]
Job = Callable[..., Any]

_BLOCK, _HEADER, _WHOLE, _LAST = 32768, 7, 1, 4
"""Of LevelDB's log format, which .wandb files have behind seven bytes of their own."""


def wandb_records(file: Path) -> Iterator[Any]:
    """The records of a .wandb file."""
    data, place, parts = file.read_bytes(), 7, b""
    while place + _HEADER <= len(data):
        if (left := _BLOCK - place % _BLOCK) < _HEADER:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + _HEADER])
        parts += data[place + _HEADER : place + _HEADER + length]
        place += _HEADER + length
        if kind in (_WHOLE, _LAST):
            yield wandb_internal_pb2.Record.FromString(parts)
            parts = b""


def wandb_run(run: RunDir) -> list[Any]:
    """The records of a trial's only W&B file."""
    (file,) = run.wandb_dir.glob("offline-run-*/*.wandb")
    return list(wandb_records(file))


def items(update: Any) -> dict[str, Any]:
    return {one.key or "/".join(one.nested_key): json.loads(one.value_json) for one in update}


def wandb_rows(run: RunDir) -> list[dict[str, Any]]:
    rows = [items(one.history.item) for one in wandb_run(run) if one.HasField("history")]
    return [{k: v for k, v in row.items() if not k.startswith("_")} for row in rows]


def expected_rows(run: RunDir) -> list[dict[str, Any]]:
    rows = run.read_metrics()
    return [{**scalars(row), "step": row["step"], "epoch": row["epoch"]} for row in rows]


WANDB = {"project": "p", "mode": "offline", "tags": ["digits"]}


def shown_in(**trackers: Any) -> dict[str, Any]:
    return {"every_steps": 2, "tensorboard": False, **trackers}


@pytest.fixture
def mlflow_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """MLflow's file store: a database takes it ten seconds to make."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return {"tracking_uri": f"file:{tmp_path}/mlflow", "experiment": "e"}


def mlflow_runs(given: dict[str, Any]) -> tuple[MlflowClient, dict[str, Run]]:
    """The runs by their trial's id."""
    client = MlflowClient(tracking_uri=given["tracking_uri"])
    experiment = client.get_experiment_by_name(given["experiment"])
    runs = client.search_runs([experiment.experiment_id])
    by_trial = {run.data.tags["trial_id"]: run for run in runs}
    assert len(by_trial) == len(runs)
    return client, by_trial


@pytest.fixture(autouse=True, scope="module")
def _no_service_outlives_these_tests() -> Iterator[None]:
    yield
    wandb.teardown()


def fail_once_at(step: int, monkeypatch: pytest.MonkeyPatch, job: Job, *runs: RunDir) -> None:
    original = Student.train_step

    def train_step(self: Student, *arguments: Any) -> None:
        if self.step == step:
            raise MemoryError("out of memory")
        original(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Student, "train_step", train_step)
        with pytest.raises(MemoryError):
            job(*runs)


@pytest.mark.slow
def test_trackers_show_a_resumed_cohort_as_if_nothing_had_happened(
    make_run: RunFactory,
    job: Job,
    monkeypatch: pytest.MonkeyPatch,
    mlflow_files: dict[str, Any],
) -> None:
    """Two trials in one process, killed two rows after a checkpoint: two runs in each tracker."""
    runs = [
        make_run(name, swept={"model.depth": depth}, model={"depth": depth},
                 logging=shown_in(wandb=WANDB, mlflow=mlflow_files))
        for name, depth in (("one", 1), ("two", 2))
    ]  # fmt: skip
    fail_once_at(9, monkeypatch, job, *runs)
    _, shown = mlflow_runs(mlflow_files)
    assert {run.info.status for run in shown.values()} == {"FAILED"}
    job(*runs)
    wandb.teardown()  # its service writes the last records a moment after a run is finished
    client, shown = mlflow_runs(mlflow_files)
    assert shown.keys() == {run.read_trial().trial_id for run in runs}
    for run in runs:
        check_wandb(run)
        check_mlflow(run, client, shown[run.read_trial().trial_id])


def check_wandb(run: RunDir) -> None:
    trial, records = run.read_trial(), wandb_run(run)
    (begun,) = (one.run for one in records if one.HasField("run"))
    assert (begun.run_id, begun.run_group, begun.display_name, begun.project, [*begun.tags]) == (
        trial.trial_id,
        trial.group_id,
        trial.name,
        "p",
        ["digits"],
    )
    config = items(begun.config.update)
    assert config["model"]["depth"] == trial.swept["model.depth"]
    assert config["swept"] == trial.swept
    assert wandb_rows(run) == expected_rows(run)
    metrics = {one.metric.name or one.metric.glob_name: one.metric for one in records}
    assert metrics["*"].step_metric == "step"
    result: dict[str, Any] = {}
    for one in records:
        result |= items(one.summary.update)
    summary = run.read_summary()
    assert summary is not None
    assert (result["state"], result["summary/val_top1"]) == ("completed", summary.val_top1)
    assert [one.exit.exit_code for one in records if one.HasField("exit")] == [0]


def check_mlflow(run: RunDir, client: MlflowClient, shown: Run) -> None:
    trial, summary = run.read_trial(), run.read_summary()
    assert summary is not None
    assert (shown.info.status, shown.info.run_name) == ("FINISHED", trial.name)
    assert shown.data.params["model.depth"] == str(trial.swept["model.depth"])
    assert shown.data.tags["swept.model.depth"] == str(trial.swept["model.depth"])
    assert shown.data.tags["group_id"] == trial.group_id
    assert shown.data.metrics["summary/val_top1"] == summary.val_top1
    rows = run.read_metrics()
    for tag in ("train/loss", "train/lr", "val/top1", "val_ema/top1"):
        points = client.get_metric_history(shown.info.run_id, tag)
        expected = [(row["step"], scalars(row)[tag]) for row in rows if tag in scalars(row)]
        assert [(point.step, point.value) for point in points] == expected


def test_a_tracker_that_cannot_be_used_is_named_once_and_training_goes_on(
    make_run: RunFactory,
    job: Job,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    nobody = {"tracking_uri": "http://127.0.0.1:1"}
    logging = shown_in(wandb={"project": "p", "mode": "online"}, mlflow=nobody)
    run = make_run("run", logging=logging)
    job(run)
    assert run.read_status().state == "completed"
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert sorted(line.partition(" fails")[0] for line in said) == ["run: MLflow", "run: W&B"]
    assert any("no API key; run `wandb login`" in line for line in said)


def test_a_tracker_that_hangs_is_not_waited_for(
    make_run: RunFactory, caplog: pytest.LogCaptureFixture
) -> None:
    never = threading.Event()

    class Hanging:
        name = "slow"
        failures = (OSError,)

        def open(self) -> Position | None:
            never.wait()
            return None

        def log(self, row: dict[str, Any]) -> None: ...

        def close(self, state: str, summary: SummaryRecord | None) -> None: ...

    run = make_run("run")
    sink = TrackerSink(Hanging(), run, run.read_trial())
    sink.emit({"kind": "train", "step": 1})
    leave_trackers([sink], 0.01)
    never.set()
    assert [record.getMessage() for record in caplog.records] == [
        "run: slow is too slow; what it has not taken yet is left out"
    ]


def test_a_database_is_opened_by_one_process_at_a_time(tmp_path: Path) -> None:
    """MLflow 3.17 leaves it broken where two make its tables."""
    entered = threading.Event()

    def enter() -> None:
        with one_at_a_time(f"sqlite:///{tmp_path}/mlflow.db"):
            entered.set()

    with open(tmp_path / "mlflow.db.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        other = threading.Thread(target=enter)
        other.start()
        assert not entered.wait(0.1)
    other.join(30)
    assert entered.is_set()


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_package_that_is_not_installed_is_named_before_training(
    name: str, make_run: RunFactory, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda wanted: None if wanted == name else find_spec(wanted)
    )
    config = {"wandb": WANDB, "mlflow": {"tracking_uri": "http://127.0.0.1:1"}}[name]
    run = make_run("run", logging=shown_in(**{name: config}))
    message = f"run `pip install 'deit-sweeps[{name}]'`"
    job(run, check=2)
    assert message in str(run.read_status().reason)
    assert run.read_metrics() == []
    given = run.read_config().logging
    with pytest.raises(ConfigError, match=rf"logging\.{name}: the package {name} is not installed"):
        check_trackers(given.wandb, given.mlflow)


def test_mlflow_needs_to_be_told_where_to_write(
    make_run: RunFactory, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = make_run("run", logging=shown_in(mlflow={}))
    job(run, check=2)
    assert "logging.mlflow.tracking_uri: is not given" in str(run.read_status().reason)


def test_the_config_of_the_page_is_valid() -> None:
    page = (Path(__file__).parents[2] / "docs" / "trackers.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    given = parse_run_config(micro_values(**yaml.safe_load(block))).logging
    assert given.wandb is not None
    assert given.mlflow is not None
    fields = {f"wandb.{key}" for key in type(given.wandb).model_fields}
    fields |= {f"mlflow.{key}" for key in type(given.mlflow).model_fields}
    assert set(re.findall(r"^\| `logging\.(\w+\.\w+)` \|", page, re.MULTILINE)) == fields
