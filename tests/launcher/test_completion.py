"""What a shell is offered after TAB."""

import os
import subprocess
import sys

import pytest

from deit_core.records import PlannedTrial, PlanRecord
from launcher.sweep_dir import SweepDir


@pytest.fixture
def sweep(tmp_path):
    """A sweep folder with two trials, which `reports/latest` points to."""
    sweep_dir = SweepDir(tmp_path / "runs" / "2026-01-01_s_abcd")
    trials = tuple(
        PlannedTrial(trial_id=name, group_id=name, name=f"kind={kind},seed=0", seed=0)
        for name, kind in (("aa11", "soft"), ("bb22", "hard"))
    )
    sweep_dir.path.mkdir(parents=True)
    sweep_dir.update_plan(PlanRecord(sweep="s", sweep_hash="0", created_utc="", trials=trials))
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "latest").symlink_to(sweep_dir.path)
    return sweep_dir


def offered(folder, *words):
    """The completions of the last word, as bash gets them."""
    environ = {
        **os.environ,
        "_DEIT_LAUNCH_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["deit-launch", *words]),
        "COMP_CWORD": str(len(words)),
    }
    program = "import sys; sys.argv = ['deit-launch']; from launcher.cli import main; main()"
    shown = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environ,
        check=False,
    )
    assert shown.stderr == ""
    return shown.stdout.split()


def test_commands_and_options(tmp_path):
    assert offered(tmp_path, "pa") == ["pause"]
    assert set(offered(tmp_path, "logs", "--r")) == {"--rank"}


@pytest.mark.parametrize("command", ["logs", "why", "retry", "cancel", "pause", "resume"])
def test_trials_of_the_latest_sweep(sweep, tmp_path, command):
    assert offered(tmp_path, command, "a") == ["aa11"]
    assert offered(tmp_path, command, "kind=h") == ["kind=hard,seed=0"]


def test_trials_of_the_sweep_that_was_named(sweep, tmp_path):
    (tmp_path / "reports" / "latest").unlink()
    assert offered(tmp_path, "logs", "") == []
    assert offered(tmp_path, "logs", "--sweep", str(sweep.path), "b") == ["bb22"]


def test_sweeps_backends_and_causes(sweep, tmp_path):
    assert offered(tmp_path, "status", "ru") == ["runs/2026-01-01_s_abcd"]
    assert offered(tmp_path, "doctor", "--backend", "s") == ["slurm"]
    assert set(offered(tmp_path, "retry", "--cause", "d")) == {"diverged", "dependency"}


@pytest.mark.parametrize("damage", ["{", "[]", '{"trials": [1]}', '{"trials": null}'])
def test_what_cannot_be_read_offers_nothing(sweep, tmp_path, damage):
    sweep.plan_file.write_text(damage)
    assert offered(tmp_path, "logs", "a") == []
