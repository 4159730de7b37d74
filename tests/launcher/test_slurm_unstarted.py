"""Jobs on SLURM that ended before they started their trials, as users see them."""

import json
import subprocess

import pytest
from sweeps_for_tests import runs_of, sweep_once, write_sweep
from test_launch_cli import call
from test_slurm_parts import script_of

from deit_core.attempts import read_attempts
from launcher.backends.slurm.array_dir import SlurmDir
from launcher.control import retry
from launcher.observe import observe
from launcher.why import look_into

SETUP = "setup line failed (exit code 3): exit 3"
NO_ACCOUNTING = "echo 'Slurm accounting storage is disabled' >&2; exit 1"


@pytest.fixture
def swept(backend, runs, programs, tmp_path):
    """A sweep of one trial, whose job 20_0 has left the queue."""
    programs("sacct", "", NO_ACCOUNTING)
    outcome = sweep_once(runs, write_sweep(tmp_path, seeds="[0]"), backend)
    programs("squeue", "")
    return outcome


def array_of(runs):
    [array] = SlurmDir(runs).arrays()
    return array


def seen(outcome, backend):
    [one] = observe(outcome.paths, backend).values()
    return one


def test_a_setup_line_that_fails_fails_the_trial(swept, backend, runs, programs, tmp_path):
    programs("sacct", "20_0|FAILED|3:0\n")
    log = array_of(runs).log(0)
    log.write_text(f"{SETUP}\n")
    one = seen(swept, backend)
    shown = log.relative_to(tmp_path)
    said = f"job 20_0 ended before it started the trial (FAILED 3:0): {SETUP}; see {shown}"
    assert (one.condition, one.status.failure, one.status.reason) == ("failed", "user_error", said)

    again = sweep_once(runs, tmp_path / "small.yaml", backend)
    assert again.plan.jobs == ()  # only the user can mend that
    [run] = runs_of(swept)
    [attempt] = read_attempts(run)
    assert (attempt.cause, attempt.exit_code, attempt.again) == ("user_error", 3, False)
    assert run.read_status().failure == "user_error"
    sweep_once(runs, tmp_path / "small.yaml", backend)
    assert len(read_attempts(run)) == 1

    [planned] = swept.sweep_dir.read_plan().trials
    why = look_into(swept.sweep_dir, planned, backend)
    assert (why.scheduler, why.traceback, why.log) == ("FAILED 3:0", (SETUP,), str(log))
    assert why.advice.command.startswith("deit-launch retry")

    programs("sbatch", "21\n")
    assert len(retry(swept.sweep_dir, backend, None).plan.jobs) == 1
    programs("squeue", "21|21|0|PENDING|None||x\n")


def test_without_accounting_its_log_shows_that_it_began(swept, backend, runs):
    array_of(runs).log(0).write_text("")
    assert seen(swept, backend).condition == "failed"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            ("20_0|CANCELLED by 5|0:0\n", None),
            "its job 20_0 was cancelled in SLURM (CANCELLED by 5)",
        ),
        (
            ("20_0|FAILED|0:9\n", None),
            "its job 20_0 was killed before it started: FAILED 0:9",
        ),
        (("", None), "its job 20_0 left the queue before it started"),
        (("20_0|NODE_FAIL|0:0\n", "x"), "its job 20_0 ended before it started: NODE_FAIL"),
        (
            ("", "slurmstepd: error: *** JOB 20 ON n1 CANCELLED AT 2026 DUE TO PREEMPTION ***"),
            "its job 20_0 ended before it started: slurmstepd: error: "
            "*** JOB 20 ON n1 CANCELLED AT 2026 DUE TO PREEMPTION ***",
        ),
    ],
)
def test_a_job_that_was_taken_away_leaves_its_trial_startable(
    swept, backend, runs, programs, said, reason
):
    account, log = said
    programs("sacct", account, "" if account else NO_ACCOUNTING)
    if log is not None:
        array_of(runs).log(0).write_text(f"{log}\n")
    one = seen(swept, backend)
    assert (one.condition, one.status.reason) == ("new", reason)
    assert len(sweep_once(runs, runs.parent / "small.yaml", backend).plan.jobs) == 1


@pytest.mark.parametrize("sign", ["owner", "progress", "cancel"])
def test_a_job_that_began_or_was_taken_back_is_no_such_job(swept, backend, runs, sign):
    array, [run] = array_of(runs), runs_of(swept)
    array.log(0).write_text("")
    tag = json.loads(run.job_file.read_text())["tag"]
    (array.path / sign).mkdir()
    name = "0" if sign == "owner" else tag
    (array.path / sign / name).write_text('{"state": "queued"}' if sign == "progress" else "x")
    assert seen(swept, backend).condition == "new"
    assert seen(swept, backend).report.unstarted is None


def test_the_log_of_such_a_job_is_shown(swept, backend, runs, programs):
    programs("sacct", "20_0|FAILED|3:0\n")
    log = array_of(runs).log(0)
    log.write_text(f"{SETUP}\n")
    trial = runs_of(swept)[0].path.name
    for option in ((), ("--scheduler",)):
        code, out, _ = call("logs", trial, "--sweep", swept.sweep_dir.path, *option)
        assert (code, out.splitlines()[-1]) == (0, SETUP)
    code, out, _ = call("status", swept.sweep_dir.path)
    assert "1 failed" in out
    assert "job 20_0 ended before it started the trial" in " ".join(out.split())


def test_a_silent_slurm_is_asked_once_and_named(swept, runs, programs, tmp_path):
    asked = tmp_path / "asked"
    silent = f"echo x >> {asked}; echo 'squeue: error: Unable to contact slurm controller' >&2; "
    for name in ("squeue", "sinfo", "scontrol"):
        programs(name, "", f"{silent} exit 1")
    trial = runs_of(swept)[0].path.name
    said = (
        "SLURM does not answer (Unable to contact slurm controller): what follows is from the "
        "files alone"
    )
    assert call("status", swept.sweep_dir.path)[1].splitlines()[0] == said
    assert call("why", trial, "--sweep", swept.sweep_dir.path)[1].splitlines()[0] == said
    for command in ("cancel", "pause", "resume"):
        code, _, error = call(command, "--all", "--sweep", swept.sweep_dir.path)
        assert (code, "so nothing was changed" in error) == (2, True)
    code, _, error = call("throttle", "3", "--sweep", swept.sweep_dir.path)
    assert (code, "so nothing was changed" in error) == (2, True)
    assert not swept.sweep_dir.read_plan().throttled
    assert not array_of(runs).marked("cancel") | array_of(runs).marked("hold")
    assert asked.read_text().count("x") == 1


def test_a_cluster_that_is_silent_is_not_taken_for_none(runs, programs, tmp_path, monkeypatch):
    file = write_sweep(tmp_path, seeds="[0]")
    programs("sinfo", "", "echo 'sinfo: error: Unable to contact slurm controller' >&2; exit 1")
    code, _, error = call("sweep", file, "--dry-run")
    assert code == 2
    assert error == (
        "SLURM does not answer (Unable to contact slurm controller); try again later, or pass "
        "--backend local to run on this machine"
    )
    note = next(line for line in call("doctor")[1].splitlines() if "cluster" in line)
    assert note.startswith("note  cluster")
    assert call("sweep", file, "--dry-run", "--backend", "local")[0] == 0


def test_programs_without_a_cluster_are_no_cluster(runs, programs, tmp_path, monkeypatch):
    monkeypatch.delenv("SLURM_CONF", raising=False)
    monkeypatch.setattr("launcher.backends.slurm.client._CONFIGURATION", ())
    text = "sinfo: fatal: Could not establish a configuration source"
    programs("sinfo", "", f"echo '{text}' >&2; exit 1")
    file = write_sweep(tmp_path, seeds="[0]")
    assert call("sweep", file, "--dry-run")[0] == 0
    monkeypatch.setenv("SLURM_CONF", "/nonexistent")
    assert call("sweep", file, "--dry-run")[0] == 2


@pytest.mark.parametrize(
    ("setup", "code", "said"),
    [
        (("exit 3",), 3, "setup line failed (exit code 3): exit 3\n"),
        (("false",), 1, "setup line failed (exit code 1): false\n"),
        (("if false; then", "  exit 4", "fi"), 0, ""),
    ],
)
def test_a_setup_line_that_fails_ends_the_script(tmp_path, setup, code, said):
    lines = script_of(tmp_path, setup=setup)
    [start] = [place for place, line in enumerate(lines) if line.startswith("exec ")]
    script = "\n".join([*lines[:start], "case $- in *e*) ;; *) echo went on;; esac"])
    done = subprocess.run(["bash"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, said)
    assert done.stdout == ("" if code else "went on\n")
