"""`why`: run directories made by hand, one for each way to end; what is said of them."""

import json
from dataclasses import dataclass

import pytest
from launch_support import make_trial

from deit_core.attempts import AttemptRecord
from deit_core.records import PlannedTrial, PlanRecord, StatusRecord
from deit_core.run_dir import RunDir, write_json
from launcher.attempts import Start, note_end, note_start
from launcher.backends.base import JobReport
from launcher.backends.endings import Ending, conclude, fail_dependants
from launcher.backends.progress import JobProgress
from launcher.carry_out import record_job
from launcher.observe import TrialJob
from launcher.output import open_output
from launcher.sweep_dir import SweepDir
from launcher.why import explain, look_into

COMMAND = "deit-launch sweep sweeps/x.yaml --partition gpu"
START = Start("job", "slurm", "12_3", ("gpu17",), processes=2)
CUDA = """Traceback (most recent call last):
  File "learner.py", line 9, in step
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.
"""
ENDED = JobReport("ended")


@dataclass
class Cluster:
    """Says of the one job what a test wants."""

    report: JobReport = ENDED
    name: str = "slurm"
    account: str | None = None

    def states(self, job_ids):
        return dict.fromkeys(job_ids, self.report)

    def peers(self, name):
        return None

    def describe(self, job_ids):
        return dict.fromkeys(job_ids, self.account) if self.account else {}


@pytest.fixture
def sweep_dir(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return SweepDir(tmp_path / "runs" / "sweep")


@pytest.fixture
def run(sweep_dir):
    run = make_trial(sweep_dir.trials, 0)
    plan(sweep_dir, run)
    return run


def plan(sweep_dir, run, **resources):
    trial = PlannedTrial(trial_id=run.path.name, group_id="g", name="seed=0", seed=0)
    record = PlanRecord(sweep="x", sweep_hash="h", created_utc="now", command=COMMAND,
                        trials=(trial,), resources=resources)  # fmt: skip
    write_json(sweep_dir.plan_file, record.model_dump(mode="json"))


def attempt(run, ending, *, progress=None, said="", step=0, state="running", **more):
    """One attempt of a job, from its start to what its backend writes at its end."""
    paths = (str(run.path),)
    record_job(TrialJob(tag="job", backend="slurm", job_id="12_3", run_dirs=paths,
                        submitted_unix_s=1.0))  # fmt: skip
    note_start(paths, START)
    out, err = open_output(paths, 0, "job")
    with out, err:
        err.write(said.encode())
    attempt = run.read_status().attempt + 1
    run.write_status(StatusRecord(state=state, attempt=attempt, step=step, total_steps=900, **more))
    running = (progress or JobProgress()).model_copy(update={"running": paths})
    return conclude(running, ending, "job")


def lines(sweep_dir, report=ENDED):
    return explain(sweep_dir, sweep_dir.read_plan().trials[0], Cluster(report))


def command(sweep_dir, report=ENDED):
    """The last line: the one command."""
    return lines(sweep_dir, report)[-1].strip()


def on(sweep_dir):
    return f"--sweep {sweep_dir.path}"


def test_a_gpu_that_is_too_small(sweep_dir, run):
    progress = attempt(run, Ending(1), said=CUDA)
    attempt(run, Ending(1, max_rss_gib=3.25), said=CUDA, progress=progress)
    said = lines(sweep_dir)
    assert said[0] == f"{run.path.name} (seed=0): failed"
    assert said[1] == "cause: out of GPU memory"
    full = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    assert said[2].startswith(f"reason: out of GPU memory before its first step: {full}; --set")
    assert "evidence: exit code 1 · largest process 3.2 GiB" in said
    assert "failures on gpu17: 2 of this trial" in said
    assert [line.split()[:3] for line in said if "gpu_memory" in line] == [
        ["1", "12_3", "gpu17"],
        ["2", "12_3", "gpu17"],
    ]
    assert f"last traceback ({run.stderr_file}):" in said
    assert f"  {full}" in said
    assert said[-1] == f"  {COMMAND} --set train.micro_batch_size=4"  # 16 images, 2 processes


def test_too_little_host_memory(sweep_dir, run):
    plan(sweep_dir, run, mem_gb=4.0)
    progress = JobProgress()
    for _ in range(3):
        ending = Ending(-9, cause="host_memory", scheduler="OUT_OF_MEMORY", max_rss_gib=9.2)
        progress = attempt(run, ending, progress=progress)
    said = lines(sweep_dir)
    assert said[1] == "cause: out of host memory"
    assert (
        "killed by SIGKILL · the scheduler says OUT_OF_MEMORY · largest process 9.2 GiB" in said[3]
    )
    retry = f"deit-launch retry {run.path.name} {on(sweep_dir)}"
    assert said[-1].strip() == f"{COMMAND} --set resources.mem_gb=19 && {retry}"


def test_a_time_limit_that_allows_nothing(sweep_dir, run):
    plan(sweep_dir, run, time="30min", max_requeues=1)
    progress = JobProgress()
    for _ in range(3):
        progress = attempt(run, Ending(85, cause="timeout"), progress=progress)
    assert lines(sweep_dir)[1] == "cause: its job reached the time limit"
    assert f"{COMMAND} --set resources.time=60min && deit-launch retry" in command(sweep_dir)


def test_what_will_not_help_twice(sweep_dir, run):
    attempt(run, Ending(3), step=40, state="failed", failure="diverged", reason="loss is nan")
    said = lines(sweep_dir)
    assert said[0].endswith("failed at step 40 of 900")
    assert "reason: loss is nan" in said
    rate = run.read_config().optim.lr / 2
    assert said[-1].strip() == f"{COMMAND} --set optim.lr={rate:g}"


@pytest.mark.parametrize(
    ("ending", "said", "field"),
    [
        (Ending(1), CUDA, "train.micro_batch_size: 4"),
        (Ending(1), "", "optim.lr: "),
    ],
)
def test_a_teacher_is_changed_in_its_sweep_file(sweep_dir, run, ending, said, field):
    record = sweep_dir.read_plan()
    teacher = record.trials[0].model_copy(update={"role": "teacher"})
    update = {"trials": (teacher,), "source": "sweeps/x.yaml"}
    write_json(sweep_dir.plan_file, record.model_copy(update=update).model_dump(mode="json"))
    more = {} if said else {"state": "failed", "failure": "diverged", "reason": "loss is nan"}
    progress = attempt(run, ending, said=said, **more)
    if said:  # the second time settles it
        attempt(run, ending, said=said, progress=progress)
    *_, advice, command_ = lines(sweep_dir)
    assert f"edit `teacher: {{set: {{{field}" in advice
    assert "in sweeps/x.yaml" in advice
    assert command_ == f"  {COMMAND}"


def test_a_mistake_is_mended_and_tried_again(sweep_dir, run):
    attempt(run, Ending(2), said="error: data.root: /data is no folder\n")
    said = lines(sweep_dir)
    assert "reason: data.root: /data is no folder" in said
    assert said[-2:] == [
        "what to do: mend that, then:",
        f"  deit-launch retry {run.path.name} {on(sweep_dir)}",
    ]


def test_a_failed_teacher_is_asked_about(sweep_dir, run, tmp_path):
    fail_dependants([str(run.path)], tmp_path / "teacher")
    assert lines(sweep_dir)[1] == "cause: its teacher failed"


def test_a_node_that_fails_is_named_for_the_trial_and_the_sweep(sweep_dir, run):
    progress = attempt(run, Ending(None, cause="node_failure", scheduler="NODE_FAIL"), step=10)
    attempt(run, Ending(None, cause="node_failure"), step=20, progress=progress)
    other = make_trial(sweep_dir.trials, 1)
    sound = AttemptRecord(number=1, tag="b", backend="slurm", nodes=("n1",), started_unix_s=1.0)
    note_end(other, sound.model_copy(update={"cause": "completed", "ended_unix_s": 2.0}))
    lost = sound.model_copy(update={"number": 2, "nodes": ("gpu17",), "cause": "crashed"})
    note_end(other, lost)
    found = (
        "failures on gpu17: 2 of this trial, 3 of all trials of the sweep; "
        "the sweep avoids it from now on"
    )
    queued = JobReport("queued", "PENDING (Resources)")
    said = lines(sweep_dir, queued)
    assert found in said
    assert said[:3] == [
        f"{run.path.name} (seed=0): queued at step 20 of 900",
        "waits: its turn, once nodes are free (Resources)",
        "last attempt: its node failed",
    ]


def test_every_condition_has_its_say(sweep_dir, run):
    queued = JobReport("queued", "PENDING (JobHeldUser)", held=True)
    assert command(sweep_dir) == COMMAND  # new
    note = TrialJob(tag="job", backend="slurm", job_id="1", submitted_unix_s=1.0)
    record_job(note, [run.path])
    said = lines(sweep_dir, queued)
    assert said[0].endswith(": paused")
    assert said[1] == "waits: until `deit-launch resume` (JobHeldUser)"
    assert said[-1] == f"  deit-launch resume {run.path.name} {on(sweep_dir)}"
    run.write_status(StatusRecord(state="preempted", attempt=1, reason="stopped by SIGTERM"))
    assert command(sweep_dir) == f"deit-launch retry {run.path.name} {on(sweep_dir)}"
    with run.lock():
        assert command(sweep_dir) == f"deit-launch logs {run.path.name} -f {on(sweep_dir)}"
    run.metrics_file.write_text("")
    run.config_file.unlink()
    assert command(sweep_dir) == f"rm -r {run.path} && {COMMAND}"


def test_a_queued_trial_that_slurm_runs_already_is_starting(sweep_dir, run):
    attempt(run, Ending(None, cause="timeout"), step=1)
    said = lines(sweep_dir, JobReport("running", "RUNNING on gpu3"))
    assert said[0].endswith(": starting at step 1 of 900")
    assert said[1] == "now: starting on gpu3"
    assert (
        look_into(
            sweep_dir,
            sweep_dir.read_plan().trials[0],
            Cluster(JobReport("running", "RUNNING on gpu3")),
        ).state
        == "queued"
    )


def test_an_attempt_that_runs_says_so(sweep_dir, run):
    note_start([run.path], START)
    run.write_status(StatusRecord(state="running", attempt=1, step=12, total_steps=900))
    with run.lock():
        [row] = [line for line in lines(sweep_dir) if line.startswith("1 ")]
    assert (row.split()[3], row.split()[-1]) == ("0-12", "running")


def test_nothing_is_said_twice(sweep_dir, run):
    attempt(run, Ending(None, cause="paused"), step=10)
    said = lines(sweep_dir, JobReport("queued", "PENDING (JobHeldUser)", held=True))
    assert "last attempt: paused by the user" in said
    assert not any(line.startswith("reason") for line in said)


def test_completed_needs_nothing(sweep_dir, run):
    note_start([run.path], START)
    run.write_status(StatusRecord(state="completed", attempt=1, step=900, total_steps=900))
    write_summary(run)
    conclude(JobProgress(running=(str(run.path),)), Ending(0), "job")
    said = lines(sweep_dir)
    assert said[0].endswith("completed at step 900 of 900")
    assert not any(line.startswith(("cause", "reason", "what to do")) for line in said)


def write_summary(run: RunDir) -> None:
    numbers = dict.fromkeys(
        ("epochs", "steps", "val_images", "train_images", "num_classes", "parameters"), 1
    )
    shown = dict.fromkeys(("val_top1", "val_top5", "val_loss", "val_top1_cls", "train_loss"))
    ends = {"train_s": 1.0, "finished_unix_s": 1.0, "trial_id": run.path.name}
    write_json(run.summary_file, {**numbers, **shown, **ends})


def test_a_trial_without_a_folder(sweep_dir, run):
    for file in sorted(run.path.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    run.path.rmdir()
    assert lines(sweep_dir)[0] == f"{run.path.name} (seed=0): new"


def test_the_schema_of_json_is_frozen(sweep_dir, run):
    attempt(run, Ending(1), said=CUDA)
    found = look_into(sweep_dir, sweep_dir.read_plan().trials[0], Cluster()).as_json()
    assert set(json.loads(json.dumps(found))) == {
        "schema_version", "trial_id", "name", "state", "cause", "reason", "held", "waiting", "step",
        "total_steps", "exit_code", "signal", "scheduler", "max_rss_gib", "attempts", "nodes",
        "traceback", "log", "advice",
    }  # fmt: skip
    assert found["attempts"][0]["cause"] == found["cause"] == "gpu_memory"


def test_the_accounts_say_what_ended_an_attempt_that_nobody_saw_end(sweep_dir, run):
    attempt(run, Ending(None, cause="preempted"), state="preempted", step=3)
    [planned] = sweep_dir.read_plan().trials
    said = explain(sweep_dir, planned, Cluster(account="CANCELLED by 5"))
    assert "evidence: the scheduler says CANCELLED by 5" in said
    said = explain(sweep_dir, planned, Cluster(account="COMPLETED"))
    assert not any("scheduler" in line for line in said)
