"""What is found of each trial: linked, missing, damaged, unfinished."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sweep_writer import KindsWriter

from deit_core.run_dir import RunDir, read_json, write_json
from reports.load import load_sweep, resolve_sweep
from reports.results import TrialResult


def trial(path: Path, name: str) -> TrialResult:
    (found,) = (t for t in load_sweep(path).trials if t.planned.name == name)
    return found


@pytest.fixture
def sweep(kinds: KindsWriter) -> Path:
    return kinds(none=[80.0, 81.0], hard=[82.0, "failed", "missing"], teacher=92.0)


def run_dir(path: Path, name: str) -> RunDir:
    return RunDir(path / "trials" / trial(path, name).planned.trial_id)


def test_finished_failed_and_missing(sweep: Path) -> None:
    finished = trial(sweep, "kind=none,seed=1")
    assert finished.state == "completed"
    assert finished.result is not None
    assert finished.result.val_top1 == 81.0
    failed = trial(sweep, "kind=hard,seed=1")
    assert failed.state == "failed"
    assert failed.reason == "diverged at step 120 of 720: the training loss became nan"
    assert trial(sweep, "kind=hard,seed=2").state == "missing"


def test_teachers_come_last_and_apart(sweep: Path) -> None:
    results = load_sweep(sweep)
    assert [t.planned.role for t in results.trials] == ["student"] * 5 + ["teacher"]
    assert len(results.students) == 5
    assert len(results.teachers) == 1


@pytest.mark.parametrize("file_name", ["trial.json", "config.json", "status.json", "summary.json"])
def test_half_deleted_is_damaged_and_named(sweep: Path, file_name: str) -> None:
    (run_dir(sweep, "kind=none,seed=0").path / file_name).unlink()
    found = trial(sweep, "kind=none,seed=0")
    assert found.state == "damaged"
    assert found.result is None
    assert found.reason is not None
    assert f"half deleted: {file_name} is missing" in found.reason


def test_a_torn_file_is_damaged(sweep: Path) -> None:
    run_dir(sweep, "kind=none,seed=0").summary_file.write_text("{", encoding="utf-8")
    found = trial(sweep, "kind=none,seed=0")
    assert found.state == "damaged"
    assert "it is not JSON" in str(found.reason)


def test_a_newer_record_is_damaged(sweep: Path) -> None:
    file = run_dir(sweep, "kind=none,seed=0").summary_file
    write_json(file, read_json(file) | {"schema_version": 99})
    assert "schema version 99" in str(trial(sweep, "kind=none,seed=0").reason)


def test_a_result_without_a_number_is_no_result(sweep: Path) -> None:
    file = run_dir(sweep, "kind=none,seed=0").summary_file
    write_json(file, read_json(file) | {"val_top1": None})
    found = trial(sweep, "kind=none,seed=0")
    assert (found.state, found.result) == ("damaged", None)


def test_another_trials_directory_is_damaged(sweep: Path) -> None:
    target = run_dir(sweep, "kind=none,seed=0").path
    shutil.rmtree(target)
    shutil.copytree(run_dir(sweep, "kind=none,seed=1").path, target)
    assert "holds trial" in str(trial(sweep, "kind=none,seed=0").reason)


def test_a_trial_reused_from_another_sweep_is_read_through_its_link(sweep: Path) -> None:
    here = run_dir(sweep, "kind=none,seed=0").path
    there = sweep.parent / "older" / "trials" / here.name
    there.parent.mkdir(parents=True)
    here.rename(there)
    here.symlink_to(Path("../../older/trials") / here.name)
    assert trial(sweep, "kind=none,seed=0").state == "completed"
    shutil.rmtree(there)
    gone = trial(sweep, "kind=none,seed=0")
    assert gone.state == "missing"
    assert gone.reason == f"reused from ../../older/trials/{here.name}, which is gone"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("pending", "waits to be started"),
        ("running", "was at step 120 of 720 when this report was written"),
        ("preempted", "stopped at step 120 of 720, to be resumed"),
        ("pruned", "stopped early by the search at step 120 of 720"),
    ],
)
def test_unfinished_trials_say_where_they_are(kinds: KindsWriter, state: str, words: str) -> None:
    assert trial(kinds(none=[state]), "kind=none,seed=0").reason == words


def test_a_link_is_resolved_to_the_real_folder(sweep: Path, tmp_path: Path) -> None:
    link = tmp_path / "latest"
    link.symlink_to(sweep)
    assert resolve_sweep(link) == sweep.resolve()
