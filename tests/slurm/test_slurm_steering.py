"""What is asked of jobs that were submitted, where SLURM itself has its say, on a real cluster."""

import pytest
from launch_support import FAKE_TRAINER, make_trial, reported, started, until

from launcher.backends.base import Job
from launcher.backends.slurm import client
from launcher.backends.slurm.array_dir import ArrayRecord
from launcher.backends.slurm.backend import SlurmBackend

PATIENCE_S = 120.0


@pytest.fixture
def runs(tmp_path):
    folder = tmp_path / "runs"
    (folder / "sweep" / "trials").mkdir(parents=True)
    return folder


@pytest.fixture
def backend(slurm_cluster, runs):
    return SlurmBackend(runs, command=FAKE_TRAINER)


@pytest.fixture
def jobs(runs, tmp_path):
    """Makes jobs of trials that wait for a gate."""

    def make(numbers, **settings):
        gate = str(tmp_path / "gate")
        trials = [make_trial(runs / "sweep" / "trials", number, gate=gate) for number in numbers]
        made = [
            Job(f"job{number}", (run.path,), group="sweep", **settings)
            for number, run in zip(numbers, trials, strict=True)
        ]
        return trials, made

    return make


def running(trials):
    return [started(run) for run in trials]


def queue_of(job_ids):
    """SLURM's state and reason of elements, by their names."""
    entries = client.queue(sorted({job_id.partition("_")[0] for job_id in job_ids}))
    return {entry.name: (entry.state, entry.reason) for entry in entries or ()}


def test_no_more_jobs_of_a_sweep_run_than_may_over_its_arrays(backend, jobs, tmp_path):
    old, first = jobs(range(2), max_parallel=1)
    new, second = jobs(range(2, 4), max_parallel=1)
    ids = list(backend.submit(first).values())
    until(lambda: running(old) == [1, 0], PATIENCE_S)

    later = list(backend.submit(second).values())
    until(lambda: queue_of(later)[later[0]] == ("PENDING", "Dependency"), PATIENCE_S)
    backend.throttle("sweep", None)
    until(lambda: running(old + new) == [1] * 4, PATIENCE_S)

    extra, third = jobs(range(4, 6))
    last = list(backend.submit(third).values())
    backend.throttle("sweep", 1)  # while some elements run: SLURM reports those as errors
    assert {state for state, _ in queue_of(ids + later).values()} == {"RUNNING"}
    (tmp_path / "gate").touch()
    until(lambda: all(run.summary_file.exists() for run in old + new + extra), PATIENCE_S)
    until(lambda: {reported(backend, job_id) for job_id in last} == {"ended"}, PATIENCE_S)


def test_a_job_that_waits_in_an_element_is_stopped_and_the_one_that_runs_is_not(
    backend, jobs, tmp_path, monkeypatch
):
    monkeypatch.setattr(type(backend.submitter), "room", lambda *_: 1)
    trials, made = jobs(range(3))
    ids = list(backend.submit(made).values())
    assert len({job_id.partition(":")[0] for job_id in ids}) == 1
    until(lambda: [reported(backend, one) for one in ids] == ["running", "queued", "queued"], 60)
    until(lambda: running(trials) == [1, 0, 0], PATIENCE_S)

    backend.cancel(ids[1:2])
    assert [reported(backend, one) for one in ids] == ["running", "ended", "queued"]
    (tmp_path / "gate").touch()

    until(trials[2].summary_file.exists, PATIENCE_S)
    assert running(trials) == [1, 0, 1]


def test_a_job_of_another_array_of_the_same_id_is_left_alone(backend, jobs, tmp_path):
    [run], made = jobs([0])
    job_id = backend.submit(made)["job0"]
    [array] = backend.arrays.files.arrays()
    record = array.read()
    lost = backend.arrays.files.array("01057")
    element = record.elements[0][0].model_copy(update={"tag": "lost"})
    update = {"array": "01057", "job_name": "sweep.01057", "elements": ((element,),)}
    update["submitted_unix_s"] = record.submitted_unix_s + 1
    lost.create(ArrayRecord.model_validate(record.model_copy(update=update)), "")
    lost.note_id(job_id.partition("_")[0])
    until(lambda: running([run]) == [1], PATIENCE_S)

    assert reported(backend, f"{job_id}@01057") == "ended"
    backend.cancel([f"{job_id}@01057"])

    assert reported(backend, job_id) == "running"
    (tmp_path / "gate").touch()
    until(run.summary_file.exists, PATIENCE_S)
