"""The run directory: whole files or none, records that say what is wrong with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deit_core.config import parse_run_config
from deit_core.errors import RunDirError, SchemaError
from deit_core.records import StatusRecord, TrialRecord
from deit_core.run_dir import RunDir, write_atomic, write_json

TRIAL = TrialRecord(trial_id="a" * 12, group_id="b" * 12, name="kind=none,seed=0", seed=0)
CONFIG = parse_run_config({"data": {"source": "digits"}})


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    directory = RunDir(tmp_path / "run")
    directory.create(TRIAL, CONFIG)
    return directory


def test_create_and_read_back(run: RunDir) -> None:
    assert run.read_trial() == TRIAL
    assert run.read_config() == CONFIG
    assert run.read_status() == StatusRecord()
    assert run.read_summary() is None
    assert run.tensorboard_dir() == run.path / "tensorboard"


def test_a_failed_write_leaves_the_old_file(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(handle: int) -> None:
        raise OSError(28, "No space left on device")

    before = run.config_file.read_bytes()
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(RunDirError, match="No space left"):
        write_atomic(run.config_file, b"half")
    assert run.config_file.read_bytes() == before
    assert sorted(path.name for path in run.path.iterdir()) == [
        "config.json",
        "status.json",
        "trial.json",
    ]


def test_numbers_that_are_not_finite_are_null(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"loss": float("nan"), "nested": [float("inf"), 1.0]})
    assert json.loads((tmp_path / "x.json").read_text()) == {"loss": None, "nested": [None, 1.0]}


@pytest.mark.parametrize("missing", ["trial.json", "config.json"])
def test_a_half_deleted_directory_says_so(run: RunDir, missing: str) -> None:
    (run.path / missing).unlink()
    with pytest.raises(RunDirError, match=f"half deleted: {missing} is missing; delete the folder"):
        (run.read_trial if missing == "trial.json" else run.read_config)()


def test_a_newer_schema_is_refused(run: RunDir) -> None:
    values = json.loads(run.trial_file.read_text()) | {"schema_version": 99}
    run.trial_file.write_text(json.dumps(values))
    with pytest.raises(SchemaError, match="schema version 99, this program reads up to 1; update"):
        run.read_trial()


def test_damaged_records_name_their_file(run: RunDir) -> None:
    run.status_file.write_text('{"state": "sleeping"}')
    with pytest.raises(SchemaError, match=r"status\.json is damaged: state"):
        run.read_status()
    run.trial_file.write_text("{")
    with pytest.raises(RunDirError, match=r"trial\.json is damaged: it is not JSON"):
        run.read_trial()


def test_a_torn_last_row_is_left_out(run: RunDir) -> None:
    for step in (1, 2, 3):
        run.append_metrics({"step": step})
    with open(run.metrics_file, "a", encoding="utf-8") as file:
        file.write('{"step": 4, "val_t')
    assert [row["step"] for row in run.read_metrics()] == [1, 2, 3]
    run.truncate_metrics(2)
    assert [row["step"] for row in run.read_metrics()] == [1, 2]


def test_a_torn_row_in_the_middle_is_damage(run: RunDir) -> None:
    run.metrics_file.write_text('{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.raises(RunDirError, match=r"metrics\.jsonl:2 is damaged"):
        run.read_metrics()


def test_one_process_at_a_time(run: RunDir) -> None:
    with run.lock():
        assert run.is_locked()
        with pytest.raises(RunDirError, match="another process is training"), run.lock():
            pass
    assert not run.is_locked()


def test_the_kernel_lets_go_of_a_dead_owner(run: RunDir) -> None:
    code = (
        "import sys, time; from deit_core.run_dir import RunDir\n"
        f"with RunDir({str(run.path)!r}).lock(): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "held\n"
        assert run.is_locked()
        owner.kill()
    assert not run.is_locked()


def test_no_permission_is_one_line(run: RunDir) -> None:
    """As another user where we are root, whom permissions do not bind."""
    run.path.chmod(0o555)
    code = (
        "import os\n"
        "from pathlib import Path\n"
        "from deit_core.errors import RunDirError\n"
        "from deit_core.run_dir import write_atomic\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        "try: write_atomic(Path('status.json'), b'x')\n"
        "except RunDirError as error: print(error)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=run.path, capture_output=True, text=True, check=True
    )
    assert answer.stdout == "cannot write status.json: Permission denied\n"
