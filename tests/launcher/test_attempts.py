"""The record of a trial's attempts, and how endings are written down, whatever is interrupted."""

import pytest
from launch_support import make_trial

from deit_core.attempts import read_attempts
from deit_core.records import StatusRecord
from launcher.attempts import Start, note_end, note_start
from launcher.backends.endings import Ending, carried, conclude, fail_dependants
from launcher.backends.progress import JobProgress
from launcher.policy import MEM_STEP, SOLO_AFTER

START = Start("job", "slurm", "12_3", ("node1", "node2"), processes=4)


def train(run, step=0, state="running", **more):
    """What a trainer writes when it has begun."""
    attempt = run.read_status().attempt + 1
    run.write_status(StatusRecord(state=state, attempt=attempt, step=step, **more))


def one_attempt(progress, runs, ending, *, step=0, state="running", begin=True, **more):
    paths = tuple(str(run.path) for run in runs)
    note_start(paths, START)
    running = progress.model_copy(update={"state": "running", "running": paths})
    for run in runs if begin else ():
        train(run, step, state, **more)
    return conclude(running, ending, "job")


@pytest.fixture
def run(tmp_path):
    return make_trial(tmp_path, 0)


def test_an_attempt_is_on_record_from_start_to_end(run):
    ending = Ending(None, cause="node_failure", scheduler="NODE_FAIL", max_rss_gib=3.5)
    one_attempt(JobProgress(), [run], ending, step=40)
    (first,) = read_attempts(run)
    assert (first.number, first.job_id, first.nodes) == (1, "12_3", ("node1", "node2"))
    assert (first.first_step, first.last_step, first.progressed) == (0, 40, True)
    assert (first.cause, first.scheduler, first.max_rss_gib) == ("node_failure", "NODE_FAIL", 3.5)
    assert first.ended_unix_s >= first.started_unix_s
    assert (run.read_status().state, run.read_status().cause) == ("preempted", "node_failure")


def test_every_trial_of_a_cohort_has_its_own_record(tmp_path):
    runs = [make_trial(tmp_path, seed) for seed in range(3)]
    one_attempt(JobProgress(), runs, Ending(-9))
    assert [read_attempts(run)[0].cause for run in runs] == ["lost"] * 3
    assert len({read_attempts(run)[0].ended_unix_s for run in runs}) == 1


def test_a_torn_line_is_left_out_and_ended_before_the_next(run):
    note_start([run.path], START)
    whole = run.attempts_file.read_bytes()
    run.attempts_file.write_bytes(whole + whole[:25])
    (started,) = read_attempts(run)
    note_end(run, started.model_copy(update={"cause": "lost", "ended_unix_s": 5.0}))
    assert [each.cause for each in read_attempts(run)] == ["lost"]


def test_numbers_are_those_of_the_status(run):
    progress = one_attempt(JobProgress(), [run], Ending(1), begin=False)
    assert run.read_status().attempt == 1  # it died before it could say so itself
    one_attempt(progress, [run], Ending(1), step=3)
    assert run.read_status().attempt == 2
    assert [each.number for each in read_attempts(run)] == [1, 2]


def test_a_result_that_was_deleted_is_not_made_again_unasked(run):
    one_attempt(JobProgress(), [run], Ending(0), step=9, state="completed")
    assert run.read_status().state == "completed"


def test_what_an_earlier_attempt_left_is_not_taken_for_this_ones(run):
    progress = one_attempt(JobProgress(), [run], Ending(85), step=5, state="preempted")
    for _ in range(3):
        progress = one_attempt(progress, [run], Ending(1), begin=False)
    assert [each.cause for each in read_attempts(run)] == ["preempted"] + ["crashed"] * 3
    assert run.read_status().state == "failed"


def test_a_start_that_came_to_nothing_is_not_an_attempt(run):
    note_start([run.path], START)
    note_start([run.path], START)
    assert [each.number for each in read_attempts(run)] == [1]


def test_judging_twice_after_a_crash_counts_once(run):
    paths = (str(run.path),)
    note_start(paths, START)
    train(run)
    running = JobProgress(state="running", running=paths)
    first = conclude(running, Ending(1), "job")
    status = run.read_status()
    assert conclude(running, Ending(None), "job") == first  # its progress had not been written
    assert run.read_status() == status
    assert [each.cause for each in read_attempts(run)] == ["crashed"]


def test_too_little_host_memory_asks_for_more_twice(run):
    progress, factors = JobProgress(), []
    for _ in range(3):
        progress = one_attempt(progress, [run], Ending(-9, cause="host_memory"), step=7)
        factors.append(progress.mem_factor)
    assert factors == [MEM_STEP, MEM_STEP**2, MEM_STEP**2]
    assert (run.read_status().state, run.read_status().failure) == ("failed", "host_memory")


def test_a_full_gpu_is_tried_once_more_and_says_what_needs_less(run):
    full = "torch.OutOfMemoryError: CUDA out of memory."
    progress = one_attempt(JobProgress(), [run], Ending(1, complaint=full))
    assert (run.read_status().state, run.read_status().cause) == ("preempted", "gpu_memory")
    one_attempt(progress, [run], Ending(1, complaint=full))
    status = run.read_status()
    assert (status.state, status.failure) == ("failed", "gpu_memory")
    # 16 images over 4 processes are 4 each
    assert "--set train.micro_batch_size=2 needs less" in status.reason


def test_a_job_that_is_submitted_again_keeps_its_count(tmp_path):
    runs = [make_trial(tmp_path, seed) for seed in range(2)]
    paths = [str(run.path) for run in runs]
    assert carried(paths) == JobProgress(
        failures=dict.fromkeys(paths, 0),
        memory_failures=dict.fromkeys(paths, 0),
        steps=dict.fromkeys(paths, 0),
    )
    ended = one_attempt(JobProgress(), runs, Ending(-9, cause="host_memory"))
    ended = one_attempt(ended, runs, Ending(1))
    again = carried(paths)
    assert again == ended
    assert again.solo == (SOLO_AFTER == 2)
    one_attempt(ended, runs, Ending(2, cause="cancelled"))
    assert carried(paths).failures == dict.fromkeys(paths, 0)


def test_a_cancelled_attempt_is_on_record(run):
    one_attempt(JobProgress(), [run], Ending(85, cause="cancelled"), state="preempted",
                reason="stopped by signal SIGTERM")  # fmt: skip
    assert read_attempts(run)[0].cause == "cancelled"
    assert read_attempts(run)[0].again is False


def test_dependants_name_their_cause(tmp_path):
    teacher, student = make_trial(tmp_path, 0), make_trial(tmp_path, 1)
    fail_dependants([str(student.path)], teacher.path)
    status = student.read_status()
    assert (status.state, status.failure, status.cause) == ("failed", "dependency", "dependency")
