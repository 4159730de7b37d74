"""Plans and cohorts, pure."""

from pathlib import Path

import pytest
from sweeps_for_tests import request_for, write_distillation, write_sweep

from deit_core.records import StatusRecord
from launcher.backends.base import Capacity
from launcher.cohort import form_cohorts
from launcher.errors import LaunchError
from launcher.observe import Observation, TrialJob
from launcher.plan import Situation, Wish, make_plan
from launcher.plan_text import plan_lines

TWO_CORES = Capacity(cpus=2)


def plan_of(request, observations=None, capacity=TWO_CORES, **wish):
    situation = Situation(observations or {}, "local", capacity)
    return make_plan(request.name, request.expansion, request.resources, situation, Wish(**wish))


def seen(condition, **status):
    return Observation(Path("/runs/x"), condition, StatusRecord(**status))


def actions(plan):
    return {planned.trial.name: planned.action for planned in plan.actions}


@pytest.fixture
def request_distill(tmp_path):
    return request_for(write_distillation(tmp_path))


def names(jobs):
    return [[trial.name for trial in job.trials] for job in jobs]


def test_teacher_first_and_students_of_a_stream_together(request_distill):
    plan = plan_of(request_distill)
    assert [job.trials[0].role for job in plan.jobs] == ["teacher", "student", "student"]
    assert [len(job.trials) for job in plan.jobs] == [1, 2, 2]
    teacher = plan.jobs[0].trials[0].trial_id
    assert [job.after for job in plan.jobs] == [(), (teacher,), (teacher,)]
    assert len({trial.seed for trial in plan.jobs[1].trials}) == 1


def test_a_ready_trial_does_not_wait_for_a_teacher_it_does_not_need(tmp_path):
    path = write_distillation(tmp_path, seeds="[0]")
    path.write_text(path.read_text().replace("[soft, hard]", "[none, soft, hard]"))
    request = request_for(path)
    jobs = plan_of(request, capacity=Capacity(1)).jobs
    assert [job.after == () for job in jobs] == [True, True, False]
    teacher = request.expansion.trials[0].trial_id
    later = plan_of(request, {teacher: seen("completed")}, Capacity(1))
    assert [len(job.trials) for job in later.jobs] == [3]


def test_idle_slots_split_the_largest_cohort(request_distill):
    trials = request_distill.expansion.trials[1:3]  # soft of two seeds
    same = [trial for trial in request_distill.expansion.trials if trial.seed == 0][1:]
    for slots, sizes in ((1, [2]), (2, [1, 1]), (8, [1, 1])):
        cohorts = form_cohorts(same, untrained=frozenset(), largest=8, slots=slots)
        assert [len(cohort.trials) for cohort in cohorts] == sizes
    assert len(form_cohorts(trials, untrained=frozenset(), largest=8, slots=1)) == 2


def test_cohorts_are_even_and_bounded(tmp_path):
    path = write_sweep(tmp_path, seeds="[0]", axes="model.depth: [1, 2, 3, 4, 5, 6, 7, 8, 9]")
    trials = request_for(path).expansion.trials
    cohorts = form_cohorts(trials, untrained=frozenset(), largest=4, slots=None)
    assert [len(cohort.trials) for cohort in cohorts] == [3, 3, 3]
    assert [t for cohort in cohorts for t in cohort.trials] == list(trials)


def test_each_state_has_its_action(tmp_path):
    request = request_for(write_sweep(tmp_path, seeds="[0, 1, 2, 3, 4, 5, 6]"))
    ids = [trial.trial_id for trial in request.expansion.trials]
    job = TrialJob(tag="t", backend="slurm", job_id="77", submitted_unix_s=0)
    table = [
        (seen("new"), "run"),
        (seen("stopped", state="preempted"), "resume"),
        (seen("running"), "keep"),
        (seen("completed"), "done"),
        (seen("failed", state="failed", failure="diverged", reason="nan"), "failed"),
        (Observation(Path("/x"), "unknown", job=job), "keep"),
        (seen("queued"), "keep"),
    ]
    plan = plan_of(request, {i: row[0] for i, row in zip(ids, table, strict=True)})
    assert [planned.action for planned in plan.actions] == [row[1] for row in table]
    assert len(plan.jobs) == 2
    assert "job 77" in plan.actions[5].reason


def test_failed_trials_start_only_when_asked(tmp_path):
    request = request_for(write_sweep(tmp_path, seeds="[0, 1]"))
    first, second = (trial.trial_id for trial in request.expansion.trials)
    failed = {i: seen("failed", state="failed", failure="crashed") for i in (first, second)}
    only = frozenset([first])
    assert list(actions(plan_of(request, failed)).values()) == ["failed", "failed"]
    retried = plan_of(request, failed, retry=only, only=only)
    assert list(actions(retried).values()) == ["retry", "failed"]


def test_retrying_a_teacher_clears_what_failed_for_want_of_it(request_distill):
    teacher, *students = (trial.trial_id for trial in request_distill.expansion.trials)
    state = {i: seen("failed", state="failed", failure="dependency") for i in students}
    state[teacher] = seen("failed", state="failed", failure="diverged", reason="nan")
    assert set(actions(plan_of(request_distill, state)).values()) == {"failed"}
    only = frozenset([teacher])
    plan = plan_of(request_distill, state, retry=only, only=only)
    assert set(actions(plan).values()) == {"retry"}


def test_retrying_a_student_takes_its_teacher_but_not_its_siblings(request_distill):
    teacher, *students = (trial.trial_id for trial in request_distill.expansion.trials)
    state = {i: seen("failed", state="failed", failure="dependency") for i in students}
    state[teacher] = seen("failed", state="failed", failure="diverged", reason="nan")
    only = frozenset([students[1]])
    plan = plan_of(request_distill, state, retry=only, only=only)
    found = {planned.trial.trial_id: planned.action for planned in plan.actions}
    assert [name for name, action in found.items() if action == "retry"] == [teacher, students[1]]
    assert [trial.trial_id for job in plan.jobs for trial in job.trials] == [teacher, students[1]]


def test_a_reason_is_said_whole_and_once(tmp_path):
    request = request_for(write_sweep(tmp_path))
    reason = (
        "cannot write /a/very/long/path/" + 20 * "folder/" + "{}/f.json: No space left on device"
    )
    state = {
        trial.trial_id: seen("failed", state="failed", reason=reason.format(trial.trial_id))
        for trial in request.expansion.trials
    }
    lines = plan_lines(plan_of(request, state))
    [line] = [line for line in lines if "No space left" in line]
    assert line == f"failed, not tried again: 3 trials: {reason.format('TRIAL')}"


def test_students_of_a_failed_teacher_do_not_start(request_distill):
    teacher = request_distill.expansion.trials[0].trial_id
    plan = plan_of(request_distill, {teacher: seen("failed", state="failed", failure="user_error")})
    assert plan.jobs == ()
    assert f"its teacher {teacher} failed" in plan.actions[1].reason


def test_a_job_larger_than_the_machine_is_refused(tmp_path):
    request = request_for(write_sweep(tmp_path, resources="{cpus_per_trial: 8}"))
    with pytest.raises(LaunchError, match=r"cpus_per_trial is 8, but this machine grants 2 cores"):
        plan_of(request)
    gpus = request_for(write_sweep(tmp_path, resources="{gpus_per_node: 8, nodes: 2}"))
    with pytest.raises(LaunchError, match=r"gpus_per_node is 8, but this machine grants no GPU"):
        plan_of(gpus)
    assert plan_of(gpus, capacity=Capacity(16, 4)).size.slots == 4


def test_gpu_jobs_take_one_gpu_and_their_share_of_cores(tmp_path):
    size = plan_of(request_for(write_sweep(tmp_path)), capacity=Capacity(16, 4)).size
    assert (size.cpus, size.gpus, size.slots) == (4, 1, 4)
    few = request_for(write_sweep(tmp_path, resources="{cpus_per_gpu: 2, max_parallel: 3}"))
    size = plan_of(few, capacity=Capacity(16, 4)).size
    assert (size.cpus, size.gpus, size.slots) == (2, 1, 3)


@pytest.mark.parametrize(
    ("resources", "capacity", "expected"),
    [
        ("{nodes: 2}", Capacity(8), (1, 1, 0, 8)),
        ("{tasks_per_node: 2}", Capacity(8), (2, 2, 0, 4)),
        ("{nodes: 2, tasks_per_node: 2}", Capacity(8), (4, 4, 0, 2)),
        ("{tasks_per_node: 2, cpus_per_trial: 6}", Capacity(8), (2, 6, 0, 1)),
        ("{tasks_per_node: 2}", Capacity(16, 4), (2, 8, 2, 2)),
        ("{tasks_per_node: 2, cpus_per_gpu: 3}", Capacity(16, 4), (2, 6, 2, 2)),
        ("{nodes: 2, gpus_per_node: 2, tasks_per_node: 2}", Capacity(16, 4), (4, 16, 4, 1)),
        ("{tasks_per_node: 2, gpus_per_node: 0}", Capacity(16, 4), (2, 2, 0, 8)),
    ],
)
def test_several_processes_share_this_machine(tmp_path, resources, capacity, expected):
    """Expected: processes, cores and GPUs of a job, jobs at once."""
    plan = plan_of(request_for(write_sweep(tmp_path, resources=resources)), capacity=capacity)
    size = plan.size
    assert (size.processes, size.cpus, size.gpus, size.slots) == expected
    assert {job.processes for job in plan.jobs} == {size.processes}
    said = f"{size.processes} processes, " in "\n".join(plan_lines(plan))
    assert said == (size.processes > 1)


@pytest.mark.parametrize(
    ("capacity", "said"),
    [
        (Capacity(3), r"4 processes a job that need a core each, but this machine grants 3; "
         r"use --set resources.nodes=1 --set resources.tasks_per_node=3, or DEIT_LOCAL_CPUS=4"),
        (Capacity(8, 3), r"4 processes a job that need a GPU each, but this machine grants 3; "
         r"use .*tasks_per_node=3, or --set resources.gpus_per_node=0 to train on CPU"),
        (Capacity(3, 4), r"4 processes a job that need a core each, but this machine grants 3"),
    ],
)  # fmt: skip
def test_more_processes_than_fit_say_what_to_change(tmp_path, capacity, said):
    request = request_for(write_sweep(tmp_path, resources="{nodes: 2, tasks_per_node: 2}"))
    with pytest.raises(LaunchError, match=said):
        plan_of(request, capacity=capacity)


def test_a_scheduler_is_asked_for_all_nodes_together(tmp_path):
    def size(resources):
        return plan_of(request_for(write_sweep(tmp_path, resources=resources)), capacity=None).size

    on_gpus = size("{nodes: 2, gpus_per_node: 4, cpus_per_gpu: 10}")
    assert (on_gpus.processes, on_gpus.cpus, on_gpus.gpus) == (8, 80, 8)
    on_cpu = size("{nodes: 2, tasks_per_node: 2}")
    assert (on_cpu.processes, on_cpu.cpus, on_cpu.gpus) == (4, 4, 0)


@pytest.mark.parametrize(
    ("resources", "fits"),
    [
        ("{tasks_per_node: 3, gpus_per_node: 1, cohort: false}", False),
        ("{tasks_per_node: 3, cohort: false}", False),  # one GPU, as the nodes have any
        ("{tasks_per_node: 3, gpus_per_node: 0, cohort: false}", True),
        ("{tasks_per_node: 2, gpus_per_node: 4, cohort: false}", True),
    ],
)
def test_processes_that_train_together_do_not_share_a_gpu(tmp_path, resources, fits):
    request = request_for(write_sweep(tmp_path, resources=resources))
    situation = Situation({}, "slurm", None, node=Capacity(16, 4))
    if fits:
        make_plan(request.name, request.expansion, request.resources, situation)
        return
    with pytest.raises(LaunchError, match=r"tasks_per_node is 3, but a job has 1 GPU on each node"):
        make_plan(request.name, request.expansion, request.resources, situation)
