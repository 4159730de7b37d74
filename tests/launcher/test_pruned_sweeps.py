"""The pruner of a sweep: refusals, what trials are told, and what becomes of pruned ones."""

import signal

import pytest
from launch_support import behave, until
from sweep_files import DIGITS, write
from sweeps_for_tests import (
    request_for,
    runs_of,
    sweep_once,
    wait_for,
    write_distillation,
    write_sweep,
)

from deit_core.attempts import read_attempts
from deit_core.errors import UserError
from deit_core.pruning import PrunerRecord, RungRecord, read_pruner, read_rungs
from deit_core.run_dir import RunDir
from deit_core.train.job import run_job
from deit_core.train.signals import STOP_SIGNALS
from launcher.backends.local import LocalBackend
from launcher.control import forget_progress, retry
from launcher.monitor import Monitor
from launcher.pruning_report import ComparedTrial, look_at_pruning, sum_up
from launcher.pruning_text import report_lines
from launcher.reconcile import reconcile
from launcher.status_text import reason_lines
from launcher.sweep_dir import choose_folder
from launcher.trial_dirs import create_trials
from launcher.why import explain

PRUNER = PrunerRecord(
    metric="val_top1", direction="maximize", rungs=(0.25, 0.5), reduction_factor=3.0
)


def with_pruner(path, pruner="{rungs: [0.5]}", **more):
    """A sweep file with a pruner."""
    search = "".join(f"{key}: {value}, " for key, value in more.items())
    path.write_text(path.read_text() + f"search: {{{search}pruner: {pruner}}}\n")
    return path


# what the sweep file says --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pruner", "said"),
    [
        ("{metric: val_top}", "x.yaml:2:10: search.pruner.metric: no evaluation reports 'val_top'"
                              '; did you mean "val_top'),
        ("{metric: train_images_per_s}", "no evaluation reports 'train_images_per_s'"),
        ("{metric: val_top1_dist}", "x does not report val_top1_dist, as there is no "
                                    "distillation head where distill.kind is none; compare by "
                                    "another metric, such as val_top1"),
        ("{rungs: [0.1, 0.2, 0.3]}", "3 rungs and the end need 4 evaluations, but"),
        ("{rungs: [0.1, 0.2]}", "0.1 and 0.2 fall on the same evaluation of"),
        ("{rungs: [0.9]}", "0.9 falls on the last evaluation of"),
        ("{rungs: [0, 0.5]}", "rungs must lie between 0 and 1"),
        ("{rungs: [0.5, 0.2]}", "rungs must ascend"),
        ("{rungs: []}", "search.pruner.rungs"),
        ("{reduction_factor: 1}", "search.pruner.reduction_factor"),
        ("{mode: dry}", "search.pruner.mode"),
    ],
)  # fmt: skip
def test_a_pruner_that_cannot_work_is_refused(tmp_path, pruner, said):
    text = DIGITS.replace("{", "{train: {duration: 3ep, global_batch_size: 16}, ", 1)
    file = write(tmp_path, text + f"search: {{pruner: {pruner}}}\n")
    with pytest.raises(UserError) as caught:
        request_for(file)
    message = str(caught.value)
    assert "\n" not in message
    assert said in message


def test_where_the_size_of_the_data_is_unknown_epochs_are_enough(tmp_path):
    file = write_sweep(tmp_path)
    (tmp_path / "student.yaml").write_text(
        "data: {source: image_folder, root: /nowhere}\nmodel: {num_classes: 9}\n"
        "train: {duration: 2ep}\n"
    )
    with pytest.raises(UserError, match="need 3 evaluations, but seed=0 "):
        request_for(with_pruner(file, "{}"))


def test_what_is_left_open(tmp_path):
    file = with_pruner(
        write_sweep(tmp_path),
        "{method: hyperband, rungs: [0.5]}",
        objective="[parameters, val_loss]",
    )
    pruner = request_for(file).pruner
    assert (pruner.metric, pruner.direction, pruner.brackets) == ("val_loss", "minimize", 2)
    assert request_for(write_sweep(tmp_path, name="other")).pruner is None


# what trials are told ------------------------------------------------------------------------


def told(run):
    return read_pruner(run)


def test_students_are_told_and_teachers_are_not(runs, local, tmp_path, monkeypatch):
    monkeypatch.setattr(LocalBackend, "_ensure_runner", lambda self: None)
    outcome = sweep_once(runs, with_pruner(write_distillation(tmp_path, seeds="[0]")), local)
    teacher, *students = runs_of(outcome)
    assert told(teacher) is None
    assert [told(run).metric for run in students] == ["val_top1", "val_top1"]
    assert any("pruner: halving" in note for note in outcome.plan.notes)


def test_a_trial_has_the_pruner_of_the_call_that_starts_it(runs, local, tmp_path, monkeypatch):
    """What is running or done keeps its own; a trial that is started again gets the file's."""
    file = write_sweep(tmp_path, seeds="[0, 1]")
    for run in runs_of(outcome := sweep_once(runs, file, local)):
        assert told(run) is None
    wait_for(outcome)
    until(lambda: not local.queue.tags())
    sweep_once(runs, with_pruner(file), local)
    done, stopped = runs_of(outcome)
    assert told(done) is None
    stopped.summary_file.unlink()
    stopped.write_status(stopped.read_status().model_copy(update={"state": "preempted"}))
    monkeypatch.setattr(LocalBackend, "_ensure_runner", lambda self: None)
    sweep_once(runs, file, local)
    assert told(stopped).rungs == (0.5,)


# what becomes of pruned trials ---------------------------------------------------------------


def test_a_pruned_trial_frees_its_slot_and_is_gone_on_with_by_name(runs, local, tmp_path):
    """As the queue sees it: its trainer has left with state `pruned` and exit code 0."""
    file = write_sweep(tmp_path, seeds="[0, 1]", resources="{max_parallel: 1, cohort: false}")
    request = request_for(with_pruner(file))
    sweep_dir = choose_folder(runs, request.name, request.digest)
    made = create_trials(sweep_dir, request.expansion.trials, {})
    first, second = (RunDir(path) for path in made.values())
    behave(first, prune=True)
    outcome = reconcile(runs, request, local)
    until(lambda: second.read_status().state == "completed" and not local.queue.tags())
    (attempt,) = read_attempts(first)
    assert (attempt.cause, attempt.again, attempt.exit_code) == ("pruned", False, 0)
    assert attempt.reason == "stopped at 33 % of its schedule"

    again = sweep_once(runs, file, local)
    assert again.plan.counts() == {"done": 2}
    monitor = Monitor(outcome.sweep_dir, local)
    assert monitor.look().all_completed()
    assert reason_lines(monitor.look().rows) == [
        f"pruned: 1 trial ({first.path.name}): stopped at 33 % of its schedule"
    ]
    said = "\n".join(explain(outcome.sweep_dir, monitor.plan.trials[0], local))
    assert f"deit-launch retry {first.path.name}" in said

    assert retry(outcome.sweep_dir, local, None).plan.starting() == 0  # `--failed` is not enough
    behave(first)
    retry(outcome.sweep_dir, local, [first.path.name])
    wait_for(outcome)
    until(lambda: not local.queue.tags())
    assert told(first).exempt
    assert [one.cause for one in read_attempts(first)] == ["pruned", "completed"]


def test_from_scratch_forgets_what_was_decided(runs, local, tmp_path, monkeypatch):
    monkeypatch.setattr(LocalBackend, "_ensure_runner", lambda self: None)
    outcome = sweep_once(runs, with_pruner(write_sweep(tmp_path, seeds="[0]")), local)
    (run,) = runs_of(outcome)
    local.cancel(list(local.queue.tags()))
    run.rungs_file.write_text(rung(0.5, 1.0, "prune").model_dump_json() + "\n")
    run.write_status(run.read_status().model_copy(update={"state": "pruned", "attempt": 1}))
    forget_progress(outcome.sweep_dir, local, [run.path.name])
    assert read_rungs(run) == []
    assert run.read_status().state == "pruned"


@pytest.fixture
def signals():
    """A job in this process handles stop signals; what was there before comes back."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
def test_trainer_and_launcher_agree(runs, local, tmp_path, monkeypatch):
    """With real training: a trial that learns nothing is pruned, then gone on with."""
    monkeypatch.setattr(LocalBackend, "_ensure_runner", lambda self: None)
    file = write_sweep(tmp_path, seeds="[0]", axes="optim.lr: [0.002, 1.0e-9]")
    small = "data.train_images: 80, data.val_images: 50, optim.warmup: 0ep, optim.min_lr: 1.0e-10"
    file.write_text(file.read_text() + f"set: {{{small}}}\n")
    pruner = "{metric: val_loss, rungs: [0.5], reduction_factor: 2}"
    outcome = sweep_once(runs, with_pruner(file, pruner), local)
    good, stuck = runs_of(outcome)
    assert run_job([good.path, stuck.path]) == 0
    assert (good.read_status().state, stuck.read_status().state) == ("completed", "pruned")
    assert stuck.read_status().reason.startswith("stopped at 50 % of its schedule: val_loss")
    report = look_at_pruning(outcome.sweep_dir)
    assert (report.left, report.epochs_scheduled, report.epochs_with_pruning) == (1, 4.0, 3.0)

    retry(outcome.sweep_dir, local, [stuck.path.name])
    assert run_job([good.path, stuck.path]) == 0
    assert stuck.read_status().state == "completed"
    assert [row["epoch"] for row in stuck.read_metrics() if row["kind"] == "eval"] == [1, 2]


# the report ----------------------------------------------------------------------------------


def rung(at, value, decision="continue", *, epoch=1.0, cutoff=45.0):
    return RungRecord(rung=at, step=1, epoch=epoch, value=value, reached=4, place=1,
                      cutoff=cutoff, decision=decision, unix_s=0.0)  # fmt: skip


def compared(name, values, final, leaves_at=None):
    """A trial of 8 epochs; rungs at 2 and at 4 of them."""
    decisions = []
    for at, value in values.items():
        leaves = at == leaves_at
        decision = "would_prune" if leaves else "continue"
        decisions.append(rung(at, value, decision, epoch=8 * at))
        if leaves:
            break
    return ComparedTrial(name, 0, tuple(decisions), 8.0, 8.0, values, final)


ADVISED = [
    compared("a", {0.25: 50.0, 0.5: 60.0}, 70.0),
    compared("b", {0.25: 40.0, 0.5: 65.0}, 80.0, leaves_at=0.25),
    compared("c", {0.25: 55.0, 0.5: 58.0}, 65.0, leaves_at=0.5),
    compared("d", {0.25: 60.0, 0.5: 70.0}, 75.0),
]


def test_advice_adds_up():
    """By hand: of 6 pairs 2 agree at the first rung and 5 at the second; 8 + 2 + 4 + 8 epochs."""
    report = sum_up("s", PRUNER.model_copy(update={"mode": "advice"}), ADVISED)
    first, second = report.rungs
    assert (first.reached, first.left, first.n) == (4, 1, 4)
    assert (second.reached, second.left, second.n) == (3, 1, 4)
    assert first.kendall_tau == pytest.approx((2 - 4) / 6)
    assert second.kendall_tau == pytest.approx((5 - 1) / 6)
    assert (report.epochs_run, report.epochs_scheduled, report.epochs_with_pruning) == (32, 32, 22)
    assert (report.best, report.best_kept, report.best_of_kept, report.regret) == (
        "b", False, "d", 5.0,
    )  # fmt: skip
    lines = report_lines(report)
    assert lines[-2] == (
        "2 of 4 trials that began would have left early: 22.0 epochs instead of 32.0 "
        "(31 % fewer); 32.0 were run so far"
    )
    assert lines[-1] == (
        "the best trial, b (80), would have been pruned; of those kept the best is d, 5 worse"
    )


def test_a_kept_best_trial_costs_nothing():
    report = sum_up("s", PRUNER.model_copy(update={"mode": "advice"}), [ADVISED[0], ADVISED[2]])
    assert (report.best, report.best_kept, report.regret) == ("a", True, 0.0)
    assert sum_up("s", PRUNER, []).best is None
