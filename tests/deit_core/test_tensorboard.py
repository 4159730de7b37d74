"""A real TensorBoard, asked over HTTP: readable run names, the scalars, a filled HParams tab."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from deit_core.records import TrialRecord
from deit_core.run_dir import RunDir, write_json
from deit_core.train.student import Student

RunFactory = Callable[..., RunDir]
SWEPT: dict[str, dict[str, Any]] = {
    "depth=1,seed=0": {"model.depth": 1, "optim.name": "adamw", "distill.temperature": None},
    "depth=2,seed=0": {"model.depth": 2, "optim.name": "adamw", "distill.temperature": None},
}


@contextmanager
def tensorboard(logdir: Path) -> Iterator[str]:
    """A TensorBoard on a free port of loopback; yields its address."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir), "--port", "0"]
    with subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--reload_interval", "1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stderr is not None
        try:
            address = None
            for line in server.stderr:
                found = re.search(r"http://127\.0\.0\.1:\d+", line)
                if found:
                    address = found.group(0)
                    break
            assert address is not None, "TensorBoard did not start"
            yield address
        finally:
            server.terminate()
            server.communicate(timeout=30)


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Poll until the condition holds; TensorBoard loads event files in the background."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "TensorBoard did not show it in time"
        time.sleep(0.2)
    return found


@pytest.fixture
def sweep(make_run: RunFactory, job: Callable[..., Any], tmp_path: Path) -> Path:
    """Two finished trials in a sweep folder, event files gathered under readable names."""
    for name, swept in SWEPT.items():
        run = make_run(
            f"sweep/trials/{name}",
            swept=swept,
            model={"depth": swept["model.depth"]},
            logging={"every_steps": 5, "tensorboard": True},
        )
        trial = run.read_trial()
        record = TrialRecord(
            **{**trial.model_dump(), "name": name, "tensorboard": f"../../tensorboard/{name}"}
        )
        write_json(run.trial_file, record.model_dump(mode="json"))
        job(run)
    return tmp_path / "sweep"


def test_tensorboard_shows_the_sweep(sweep: Path) -> None:
    runs = {f"tensorboard/{name}" for name in SWEPT}
    with tensorboard(sweep) as address:
        wait_for(lambda: set(ask(f"{address}/data/runs")) == runs)
        tags = wait_for(
            lambda: (
                (found := ask(f"{address}/data/plugin/scalars/tags"))
                and all("val/top1" in found.get(run, ()) for run in runs)
                and found
            )
        )
        for name in SWEPT:
            run_tags = tags[f"tensorboard/{name}"]
            assert {"val/top1_cls", "val_ema/top1", "train/loss", "train/lr"} <= set(run_tags)
            query = f"run=tensorboard/{name}&tag=val/top1"
            points = ask(f"{address}/data/plugin/scalars/scalars?{query}")
            rows = RunDir(sweep / "trials" / name).read_metrics()
            expected = [(row["step"], row["val_top1"]) for row in rows if row["kind"] == "eval"]
            assert [(step, pytest.approx(value)) for _, step, value in points] == expected
        check_hparams(address)


def test_a_restart_hides_the_points_it_writes_again(
    make_run: RunFactory, job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the first attempt ended before its first checkpoint."""
    run = make_run("run", logging={"every_steps": 1, "tensorboard": True})
    original = Student.train_step

    def train_step(self: Student, *arguments: Any) -> None:
        if self.step == 3:
            raise MemoryError("out of memory")
        original(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Student, "train_step", train_step)
        with pytest.raises(MemoryError):
            job(run)
    assert run.read_status().failure == "crashed"
    job(run)
    events = EventAccumulator(str(run.tensorboard_dir()), size_guidance={"scalars": 0})
    events.Reload()
    steps = [point.step for point in events.Scalars("train/loss")]
    assert steps == list(range(1, 21))
    assert [point.step for point in events.Scalars("val/top1")] == [5, 10, 15, 20]


def check_hparams(address: str) -> None:
    url = f"{address}/experiment/defaultExperimentId/data/plugin/hparams"
    experiment = ask(f"{url}/experiment", {})
    columns = {info["name"] for info in experiment["hparamInfos"]}
    assert columns == {"model.depth", "optim.name", "distill.temperature", "seed"}
    answer = ask(
        f"{url}/session_groups",
        {
            "allowedStatuses": ["STATUS_SUCCESS"],
            "colParams": [{"metric": {"tag": "val/top1", "group": ""}}],
            "startIndex": 0,
            "sliceSize": 10,
        },
    )
    groups = {group["name"]: group for group in answer["sessionGroups"]}
    assert groups.keys() == SWEPT.keys()
    for name, group in groups.items():
        assert group["hparams"]["model.depth"] == SWEPT[name]["model.depth"]
        values = {metric["name"]["tag"]: metric["value"] for metric in group["metricValues"]}
        assert 0 < values["val/top1"] <= 100
