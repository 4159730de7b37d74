"""The command line: its surface, its exit codes, its errors, and how fast it answers."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from launch_support import FAKE_TRAINER, behave, started, until
from sweeps_for_tests import STUDENT, hold, runs_of, sweep_once, wait_for, write_sweep
from typer.testing import CliRunner

from deit_core.errors import UserError
from deit_core.run_dir import RunDir
from launcher import cli
from launcher.backends import local as local_module
from launcher.backends import queue_backend
from launcher.commands.common import runs_folder

SURFACE = {
    "sweep": {
        *("file", "--set", "--profile", "--dry-run", "--watch"),
        *("--backend", "--partition", "--ray-address", "--runs-dir"),
    },
    "train": {
        *("config", "--set", "--detach"),
        *("--backend", "--partition", "--ray-address", "--runs-dir"),
    },
    "bench": {
        *("path", "--fast", "--batch-size", "--largest-batch-size", "--processes"),
        *("--training", "--no-training", "--with-data", "--now", "--detach"),
        *("--set", "--profile", "--backend", "--partition", "--runs-dir"),
    },
    "status": {"sweep", "--by", "--watch", "--json"},
    "logs": {
        *("trial", "-f", "--follow", "--rank", "--attempt", "--grep", "--scheduler", "--sweep"),
    },
    "why": {"trial", "--json", "--sweep"},
    "best": {"sweep", "--objective", "--top", "--json"},
    "pruning": {"sweep", "--json"},
    "tensorboard": {"sweep", "--port"},
    "export-optuna": {"sweep", "--to", "--objective", "--force"},
    "retry": {"trials", "--failed", "--cause", "--from-scratch", "--yes", "-y", "--sweep"},
    "cancel": {"trials", "--all", "--yes", "-y", "--sweep"},
    "pause": {"trials", "--all", "--sweep"},
    "resume": {"trials", "--all", "--sweep"},
    "throttle": {"most", "--sweep"},
    "doctor": {
        *("--runs-dir", "--backend", "--partition", "--account", "--qos", "--ray-address"),
        *("--submit", "--json"),
    },
}
STATUS_FIELDS = {
    "trial_id",
    "group_id",
    "name",
    "role",
    "seed",
    "swept",
    "state",
    "failure",
    "reason",
    "attempt",
    "step",
    "total_steps",
    "epoch",
    "val_top1",
    "train_images_per_s",
    "train_loss",
    "eta_s",
    "heartbeat_age_s",
    "job",
    "path",
    "unreadable_images",
    "first_unreadable",
    "backend",
    "job_detail",
    "held",
    "cause",
}


@pytest.fixture(autouse=True)
def fake_trainer(monkeypatch):
    monkeypatch.setattr(queue_backend, "TRAINER", FAKE_TRAINER)
    monkeypatch.delenv("DEIT_RUNS", raising=False)


def call(*arguments):
    """Run the program in this process; returns exit code, stdout and the error line."""
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    if isinstance(result.exception, UserError):
        message = str(result.exception)
        assert "\n" not in message
        return 2, result.stdout, message
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_the_surface_is_frozen():
    command = typer.main.get_command(cli.app)
    surface = {
        name: {option for param in sub.params for option in (*param.opts, *param.secondary_opts)}
        - {"--help"}
        for name, sub in command.commands.items()
    }
    assert surface == SURFACE


def interpreter(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )


@pytest.mark.parametrize("command", ["", *SURFACE])
def test_help_needs_nothing_slow(command):
    code = (
        "import sys; from launcher.cli import main; import atexit\n"
        "SLOW = {'torch', 'timm', 'numpy', 'scipy', 'optuna'}\n"
        "atexit.register(lambda: print(*SLOW & set(sys.modules), file=sys.stderr))\n"
        "main()"
    )
    shown = interpreter(code, *filter(None, [command]), "--help")
    assert shown.stderr == "\n"
    assert "--help" in shown.stdout


def test_planning_10_000_trials(runs, tmp_path):
    rates = ", ".join(f"{index / 1e4:.4f}" for index in range(1, 1001))
    file = write_sweep(tmp_path, seeds=str(list(range(10))), axes=f"optim.lr: [{rates}]")
    code = "from launcher.cli import main; main()"
    shown = interpreter(code, "sweep", str(file), "--dry-run", "--runs-dir", str(runs))
    assert "10,000 trials (10,000 to run)" in shown.stdout
    assert "and 9,960 more trials" in shown.stdout


def test_version():
    code, out, _ = call("--version")
    assert (code, out.split()[0]) == (0, "deit-launch")


def test_dry_run_prints_the_plan_and_changes_nothing(runs, tmp_path):
    code, out, _ = call("sweep", write_sweep(tmp_path), "--dry-run")
    assert code == 0
    assert "small: 3 trials (3 to run)" in out
    assert "policy: preempted, or its node failed: resumed, always" in out
    assert list(runs.iterdir()) == []
    assert not (tmp_path / "reports").exists()


def test_sweep_watch_then_again(runs, tmp_path):
    file = write_sweep(tmp_path)
    code, out, _ = call("sweep", file, "--watch")
    assert code == 0
    assert "submitted 3 jobs; folder: runs/" in out
    assert out.count(": completed, top-1 80.00 %") + out.count("completed\n") >= 1
    assert "next: deit-report reports/latest" in out
    assert "deit-launch tensorboard\n" in out
    assert out.count("next:") == 1
    assert (tmp_path / "reports" / "latest" / "plan.json").exists()
    code, out, _ = call("sweep", file)
    assert code == 0
    assert "nothing to start" in out


def test_help_has_whole_sentences():
    shown = CliRunner().invoke(cli.app, ["--help"], terminal_width=80).stdout
    assert "..." not in shown.replace("[ARGS]...", "")


def test_a_sweep_that_failed_is_asked_about_not_reported(runs, local, tmp_path):
    outcome = sweep_once(runs, write_sweep(tmp_path, seeds="[0]"), local)
    wait_for(outcome)
    (run,) = runs_of(outcome)
    run.summary_file.unlink()
    failed = {"state": "failed", "failure": "diverged", "reason": "loss is nan at step 3"}
    run.write_status(run.read_status().model_copy(update=failed))
    code, out, _ = call("status", outcome.sweep_dir.path, "--watch")
    assert code == 3
    option = f"--sweep {outcome.sweep_dir.path.relative_to(tmp_path)}"
    assert f"why it failed: deit-launch why {run.path.name} {option}\n" in out
    assert f"to try again:  deit-launch retry --failed {option}\n" in out
    assert "deit-report" not in out


def test_a_damaged_trial_says_what_to_do(runs, local, tmp_path):
    file = write_sweep(tmp_path, seeds="[0]")
    outcome = sweep_once(runs, file, local)
    wait_for(outcome)
    (run,) = runs_of(outcome)
    for damaged in (run.trial_file, run.config_file, run.summary_file):
        damaged.unlink()
    code, _, error = call("sweep", file)
    assert code == 2
    assert error.endswith("trial.json is missing; delete the folder and run the sweep again")


def test_some_failed_is_exit_3(runs, local, tmp_path):
    file = write_sweep(tmp_path, seeds="[0, 1]")
    outcome = hold(runs, file, local, tmp_path / "gate")
    behave(runs_of(outcome)[1], diverge=True)
    until(lambda: started(runs_of(outcome)[0]))
    (tmp_path / "gate").touch()
    until(lambda: not local.queue.tags())
    runs_of(outcome)[1].summary_file.unlink(missing_ok=True)
    failed = {"state": "failed", "failure": "diverged", "reason": "loss is nan at step 3"}
    status = runs_of(outcome)[1].read_status().model_copy(update=failed)
    runs_of(outcome)[1].write_status(status)
    code, out, _ = call("sweep", file, "--watch")
    assert code == 3
    assert "failed, not tried again: 1 trial: loss is nan at step 3" in out
    assert "deit-launch retry --failed" in out


def test_ctrl_c_leaves_the_sweep_running(runs, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("launcher.watch.watch", interrupted)
    file = write_sweep(tmp_path, seeds="[0]")
    code, out, _ = call("sweep", file, "--watch")
    assert code == 130
    assert "sweep continues; re-attach: deit-launch status runs/" in out
    until(lambda: json.loads(call("status", "--json")[1])["counts"] == {"completed": 1})


def test_train_is_a_sweep_of_one(runs, tmp_path):
    config = tmp_path / "mine.yaml"
    config.write_text(STUDENT)
    code, out, _ = call("train", config, "--set", "optim.lr=0.001")
    assert code == 0
    assert "mine: 1 completed" in out
    code, out, _ = call("train", config, "--set", "optim.lr=0.001", "--detach")
    assert "nothing to start" in out
    code, out, _ = call("train", config, "--set", "optim.lr=0.001")
    assert out.count("next:") == 1


@pytest.mark.parametrize(
    ("command", "to_stay"), [("train", "without --detach"), ("sweep", "with --watch")]
)
def test_advice_names_the_command_that_was_given(runs, tmp_path, monkeypatch, command, to_stay):
    (tmp_path / "mine.yaml").write_text(STUDENT)
    write_sweep(tmp_path, seeds="[0]")
    given = {"train": ["train", "mine.yaml", "--detach"], "sweep": ["sweep", "small.yaml"]}[command]
    monkeypatch.setattr(sys, "argv", ["deit-launch", *given])
    with monkeypatch.context() as patch:  # nothing starts before it is told to wait
        patch.setattr(local_module.LocalBackend, "_ensure_runner", lambda self: None)
        out = call(*given)[1]
    assert f"to watch: deit-launch status, or the same command {to_stay}\n" in out
    (trial,) = (tmp_path / "reports" / "latest" / "trials").iterdir()
    behave(RunDir(trial), gate=str(tmp_path / "gate"))
    out = call("cancel", "--all")[1]
    assert f"or the same `deit-launch {command}` again" in out
    (tmp_path / "gate").touch()
    assert "to watch: deit-launch status\n" in call("retry", trial.name)[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["swep", "x"], "no such command 'swep'. Did you mean 'sweep'?; see `deit-launch --help`"),
        (["--bogus"], "no such option: --bogus; see `deit-launch --help`"),
        (["sweep"], "missing argument 'file'; see `deit-launch sweep --help`"),
        (["train", "x", "--watch"], "no such option: --watch"),
        (["why", "x", "runs/y"], "(runs/y); a sweep is named with --sweep; see"),
        (["sweep", "x", "--partition", ""], "--partition is empty; name one"),
    ],
)
def test_mistakes_in_options_are_one_line(arguments, message):
    program = [sys.executable, "-c", "from launcher.cli import main; main()", *arguments]
    shown = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (shown.returncode, shown.stdout, shown.stderr.count("\n")) == (2, "", 1)
    assert shown.stderr.startswith("error: ")
    assert message in re.sub(r"`\S+", "`deit-launch", shown.stderr)


def test_status_json_schema_is_frozen(runs, local, tmp_path):
    outcome = sweep_once(runs, write_sweep(tmp_path, seeds="[0]"), local)
    wait_for(outcome)
    code, out, _ = call("status", outcome.sweep_dir.path, "--json")
    status = json.loads(out)
    assert code == 0
    assert set(status) == {"schema_version", "sweep", "path", "counts", "search", "bench", "trials"}
    assert status["schema_version"] == 1
    assert set(status["trials"][0]) == STATUS_FIELDS
    trial = status["trials"][0]
    assert (trial["state"], trial["val_top1"], trial["attempt"]) == ("completed", 80.0, 1)


def test_status_shows_running_trials(runs, local, tmp_path):
    gate = tmp_path / "gate"
    outcome = hold(runs, write_sweep(tmp_path), local, gate)
    until(lambda: sum(started(run) for run in runs_of(outcome)) == 2)
    code, out, _ = call("status", outcome.sweep_dir.path)
    assert code == 0
    assert re.search(r"small: 2 running · 1 queued", out)
    assert re.search(r"running +1\.0 +50\.00 +123 +30s +\d+s ago +1", out)
    gate.touch()
    wait_for(outcome)


def test_status_of_a_large_sweep_is_by_group(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(local_module.LocalBackend, "_ensure_runner", lambda self: None)
    seeds = str(list(range(70)))
    assert call("sweep", write_sweep(tmp_path, seeds=seeds))[0] == 0
    lines = call("status")[1].splitlines()
    assert lines[0] == "small: 70 queued"
    assert len(lines) < 10


def test_logs_of_a_trial_and_of_its_cohort(runs, local, tmp_path):
    file = write_sweep(
        tmp_path, seeds="[0]", axes="model.depth: [1, 2]", resources="{max_parallel: 1}"
    )
    outcome = sweep_once(runs, file, local)
    wait_for(outcome)
    until(lambda: not local.queue.tags())
    sweep = outcome.sweep_dir.path
    for run in runs_of(outcome):
        code, out, _ = call("logs", run.path.name[:6], "--sweep", sweep)
        assert code == 0
        assert f"training {run.path.name}" in out
        followed = call("logs", run.path.name, "-f", "--sweep", sweep)[1]
        assert followed.count("training") == 2
        titles = [line for line in followed.splitlines() if line.startswith("---- ")]
        assert [title.split()[1].rstrip(":") for title in titles] == ["stdout.log", "stderr.log"]


def test_retry_and_cancel_need_to_be_told_what(runs, local, tmp_path):
    outcome = sweep_once(runs, write_sweep(tmp_path, seeds="[0]"), local)
    sweep = outcome.sweep_dir.path
    wait_for(outcome)
    until(lambda: not local.queue.tags())
    assert "name the trials, or pass --failed" in call("retry", "--sweep", sweep)[2]
    assert "name the trials, or pass --all" in call("cancel", "--sweep", sweep)[2]
    assert "'x' and --all are given" in call("cancel", "x", "--all", "--sweep", sweep)[2]
    assert "name the trials or pass --failed" in call("retry", "x", "--failed", "--sweep", sweep)[2]
    assert "nothing to retry" in call("retry", "--failed", "--sweep", sweep)[1]
    assert "nothing to cancel" in call("cancel", "--all", "--sweep", sweep)[1]


def test_doctor(runs):
    code, out, _ = call("doctor")
    assert code == 0
    for name in ("python", "torch", "runs folder", "disk", "file locks", "local slots", "sbatch"):
        assert re.search(rf"^ok +{name} ", out, re.MULTILINE), name
    code, out, _ = call("doctor", "--runs-dir", "/proc/nowhere")
    assert code == 1
    assert re.search(r"^BAD +runs folder +/proc/nowhere: cannot write in /proc", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep", "missing.yaml"], r"missing\.yaml"),
        (["sweep", "small.yaml", "--backend", "slrum"], r"no backend 'slrum'; valid: local"),
        (["status"], r"there is no sweep at reports/latest; run `deit-launch sweep FILE`"),
        (["status", "."], r"\. is no sweep folder: plan\.json is missing"),
        (["logs", "x", "--sweep", "nowhere"], r"there is no sweep at nowhere"),
    ],
)
def test_mistakes_are_one_line(runs, tmp_path, arguments, message):
    write_sweep(tmp_path)
    code, _, error = call(*arguments)
    assert code == 2
    assert re.search(message, error)


def test_a_mistake_is_exit_2_on_stderr(tmp_path):
    program = [sys.executable, "-c", "from launcher.cli import main; main()", "status"]
    shown = subprocess.run(program, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert shown.returncode == 2
    assert shown.stderr.startswith("error: there is no sweep at reports/latest")
    assert shown.stderr.count("\n") == 1
    assert shown.stdout == ""


def test_latest_that_is_a_folder_is_not_overwritten(runs, tmp_path):
    (tmp_path / "reports" / "latest").mkdir(parents=True)
    code, out, error = call("sweep", write_sweep(tmp_path, seeds="[0]"), "--watch")
    assert code == 0
    assert error.startswith("warning: reports/latest is no link, so it is left as it is; move it")
    assert error.count("\n") == 1
    assert "next: deit-report runs/" in out


def test_without_a_latest_link_the_sweep_goes_on(runs, tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("launcher.sweep_dir.replace_link", refuse)
    code, out, error = call("sweep", write_sweep(tmp_path, seeds="[0]"), "--watch")
    assert code == 0
    assert error.startswith(
        "warning: cannot point reports/latest to this sweep (Permission denied)"
    )
    assert "small: 1 completed" in out


def test_a_damaged_plan_says_what_to_do_and_that_works(runs, local, tmp_path):
    file = write_sweep(tmp_path, seeds="[0]")
    outcome = sweep_once(runs, file, local)
    wait_for(outcome)
    for text in ("{", '{"schema_version": 1}'):
        outcome.sweep_dir.plan_file.write_text(text)
        code, _, error = call("status", outcome.sweep_dir.path)
        assert code == 2
        assert "plan.json is damaged" in error
        assert "delete this file and run the same sweep again" in error
    outcome.sweep_dir.plan_file.unlink()
    assert sweep_once(runs, file, local).plan.counts() == {"done": 1}


def test_a_runs_folder_that_is_a_file(runs, tmp_path):
    (tmp_path / "file").touch()
    code, _, error = call("sweep", write_sweep(tmp_path), "--runs-dir", "file")
    assert code == 2
    assert "File exists; a file is in its place: move it, or choose another folder with" in error


def test_runs_dir_comes_from_option_then_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("DEIT_RUNS", "elsewhere")
    assert runs_folder(None) == Path.cwd() / "elsewhere"
    assert runs_folder(Path("here")) == Path.cwd() / "here"
