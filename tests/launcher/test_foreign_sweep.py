"""A sweep of another user can be looked at."""

from pathlib import Path

import pytest
from launch_support import make_trial, until
from sweeps_for_tests import hold, runs_of, write_sweep

import deit_core.run_dir
from deit_core.errors import RunDirError
from deit_core.run_dir import RunDir
from launcher.monitor import Monitor
from launcher.observe import observe


@pytest.fixture
def read_only(monkeypatch):
    """Every file of run directories can be read, none written, as for another user."""

    def guarded(path, mode="r", **options):
        if not set(mode) <= set("rbt"):
            raise PermissionError(13, "Permission denied", str(path))
        return Path(path).open(mode, **options)

    def allow():
        monkeypatch.setattr(deit_core.run_dir, "open", guarded, raising=False)

    return allow


def test_running_trials_are_seen_without_writing(runs, local, tmp_path, read_only):
    gate = tmp_path / "gate"
    outcome = hold(runs, write_sweep(tmp_path, seeds="[0, 1]"), local, gate)
    until(lambda: all(run.is_locked() for run in runs_of(outcome)))
    read_only()
    assert Monitor(outcome.sweep_dir, local).look().counts() == {"running": 2}


def test_a_lock_that_cannot_be_read_damages_one_trial_only(local, runs, monkeypatch):
    first, second = (make_trial(runs / "sweep" / "trials", seed) for seed in range(2))

    def is_locked(run):
        if run.path == first.path:
            raise RunDirError(f"cannot read {run.lock_file}: Permission denied")
        return False

    monkeypatch.setattr(RunDir, "is_locked", is_locked)
    seen = observe({"first": first.path, "second": second.path}, local)
    assert [one.condition for one in seen.values()] == ["damaged", "new"]
    assert "Permission denied" in (seen["first"].problem or "")
