"""What the SLURM backend promises beyond every backend's contract, on a real cluster."""

import pytest
from launch_support import FAKE_TRAINER, make_trial, reported, started, starts, until
from slurm_cluster.options import ClusterOptions

from launcher.backends.base import Job
from launcher.backends.slurm import client
from launcher.backends.slurm.backend import SlurmBackend
from launcher.resources import Resources

PATIENCE_S = 120.0


@pytest.fixture
def runs(tmp_path):
    folder = tmp_path / "my runs"
    (folder / "sweep" / "trials").mkdir(parents=True)
    return folder


@pytest.fixture
def trials(runs):
    """Makes trials by number."""

    def make(count, **behaviour):
        return [make_trial(runs / "sweep" / "trials", seed, **behaviour) for seed in range(count)]

    return make


def jobs_of(trials, **settings):
    return [Job(f"job{place}", (run.path,), **settings) for place, run in enumerate(trials)]


def all_completed(trials):
    until(lambda: all(run.read_status().state == "completed" for run in trials), PATIENCE_S)


def count_calls(monkeypatch, program):
    """The calls of one of SLURM's programs from now on."""
    calls, act = [], client.act

    def counted(*command, **options):
        if command[0] == program:
            calls.append(command)
        return act(*command, **options)

    monkeypatch.setattr(client, "act", counted)
    return calls


def test_many_jobs_are_cut_into_few_arrays(make_cluster, runs, trials, monkeypatch):
    make_cluster(ClusterOptions(nodes=1, accounting=False, max_array_size=4))
    backend, mine = SlurmBackend(runs, command=FAKE_TRAINER), trials(10)
    calls = count_calls(monkeypatch, "sbatch")

    ids = backend.submit(jobs_of(mine))

    assert len(calls) == 3
    assert len({job_id.partition("_")[0] for job_id in ids.values()}) == 3
    all_completed(mine)
    assert [started(run) for run in mine] == [1] * 10


def test_a_user_who_may_queue_few_jobs_still_gets_all_of_them_run(slurm_cluster, runs, trials):
    backend, mine = SlurmBackend(runs, command=FAKE_TRAINER), trials(23)

    ids = backend.submit(jobs_of(mine, resources=Resources(qos="limited")))

    assert len({job_id.partition(":")[0] for job_id in ids.values()}) == 20
    all_completed(mine)
    assert [started(run) for run in mine] == [1] * 23


def test_ranks_see_the_gpus_that_slurm_gave_them(slurm_cluster, runs, trials):
    backend = SlurmBackend(runs, command=FAKE_TRAINER)
    [one], resources = trials(1), Resources(gpus_per_node=2)

    backend.submit(jobs_of([one], processes=2, gpus=2, cpus=2, resources=resources))

    all_completed([one])
    assert starts(one)[0].split()[-1] == "0,1"


def test_an_array_is_adopted_whose_id_was_never_recorded(slurm_cluster, runs, trials, tmp_path):
    gate = tmp_path / "gate"
    [one] = trials(1, gate=str(gate))
    ids = SlurmBackend(runs, command=FAKE_TRAINER).submit(jobs_of([one]))
    for file in (runs / ".slurm").glob("*/id"):
        file.unlink()

    found = SlurmBackend(runs, command=FAKE_TRAINER).find(["job0", "nobody"])

    assert found == ids
    gate.touch()
    all_completed([one])


def test_no_answer_is_no_news(slurm_cluster, runs, trials, tmp_path):
    gate = tmp_path / "gate"
    [one] = trials(1, gate=str(gate))
    backend = SlurmBackend(runs, command=FAKE_TRAINER)
    job_id = backend.submit(jobs_of([one]))["job0"]
    until(lambda: started(one) == 1, PATIENCE_S)

    slurm_cluster.stop_slurmctld()
    assert backend.states([job_id]) == {}
    slurm_cluster.start_slurmctld()

    until(lambda: reported(backend, job_id) == "running", PATIENCE_S)
    gate.touch()
    all_completed([one])


def test_a_call_from_inside_a_job_works_as_from_outside(slurm_cluster, runs, trials, monkeypatch):
    for name, value in {
        "SLURM_JOB_ID": "999",
        "SLURM_MEM_PER_CPU": "100",
        "SLURM_MEM_PER_NODE": "200",
        "SLURM_NTASKS": "7",
        "SLURM_CPU_BIND": "mask_cpu:0x1",
        "RANK": "3",
        "WORLD_SIZE": "4",
    }.items():
        monkeypatch.setenv(name, value)
    [one] = trials(1)

    SlurmBackend(runs, command=FAKE_TRAINER).submit(jobs_of([one]))

    all_completed([one])
