"""From a sweep file to measured speeds, with nothing stood in for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deit_core.run_dir import RunDir

RECIPES = Path(__file__).parents[2] / "sweeps" / "recipes"
PROTOCOL = (
    "{fixed_batch_size: 4, largest_batch_size: 8, warmup_s: 0, warmup_iterations: 1, timed_s: 0, "
    "timed_iterations: 5, latency_calls: 5}"
)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "speed.yaml"
    path.write_text(
        f"base: {RECIPES / 'deit_micro_digits.yaml'}\n"
        f"set: {{data.train_images: 64, train.global_batch_size: 16, train.duration: 1ep}}\n"
        f"teacher: {{base: {RECIPES / 'convnet_digits.yaml'}}}\n"
        "axes: {list: [{model.depth: 1, distill.kind: none}, {model.depth: 2}]}\nseeds: 2\n"
        f"bench: {PROTOCOL}\n"
    )
    return path


def launch(folder, *arguments):
    program = [sys.executable, "-c", "from launcher.cli import main; main()", *arguments]
    # One thread: two on a busy machine wait for each other most of the time.
    environment = {**os.environ, "DEIT_LOCAL_CPUS": "1"}
    return subprocess.run(
        program,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=environment,
    )


def test_a_sweep_file_is_measured_before_it_is_trained(file, tmp_path):
    shown = launch(tmp_path, "bench", file.name)
    assert (shown.returncode, shown.stderr) == (0, ""), shown.stdout
    trials = [RunDir(path) for path in (tmp_path / "reports/latest/trials").iterdir()]
    students = [run for run in trials if run.read_trial().role == "student"]
    records = {run.path.name: run.read_throughput() for run in students}
    assert len({record.key for record in records.values()}) == 2
    for run in students:
        record = records[run.path.name]
        assert record.error is None
        assert record.interleaved_with == 1
        assert record.speed("inference").fixed.images_per_s > 0
        assert record.speed("training").fixed.images_per_s > 0
        kind = run.read_config().distill.kind
        assert (record.speed("training").teacher is not None) == (kind != "none")
        assert run.read_status().state == "pending", "it was not trained"
    again = launch(tmp_path, "bench")
    assert "bench: 2 measured\n" in again.stdout
    assert again.returncode == 0
