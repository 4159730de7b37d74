"""What the SLURM backend makes of answers that are late, odd or missing: programs that pretend."""

from pathlib import Path

import pytest
from fake_slurm import CONFIG, WAITING
from sweeps_for_tests import request_for, write_sweep

from launcher.backends.slurm import accounting, client
from launcher.backends.slurm.backend import SlurmBackend
from launcher.backends.slurm.partitions import count_gpus
from launcher.control import submit_again
from launcher.errors import LaunchError
from launcher.reconcile import reconcile
from launcher.resources import Resources


def test_a_job_that_left_the_queue_has_ended(backend, job_id, programs):
    assert backend.states([job_id])[job_id].detail == "PENDING (Priority)"
    programs("squeue", "")
    assert backend.states([job_id])[job_id].state == "ended"


@pytest.mark.parametrize(
    ("text", "shell"),
    [
        ("", "echo 'slurm_load_jobs error: Socket timed out' >&2; exit 1"),
        ("20|20|0|PENDI", ""),  # cut off
        ("The cluster is under maintenance until Monday.\n", ""),
        ("\x00\xff|\n", ""),
        (WAITING, "kill -9 $$"),
    ],
)
def test_an_answer_that_cannot_be_read_says_nothing_of_a_job(
    backend, job_id, programs, text, shell
):
    programs("squeue", text, shell)
    assert backend.states([job_id]) == {}


def test_the_queue_of_another_cluster_says_nothing_of_a_job(backend, job_id, programs):
    programs("squeue", "")
    programs("scontrol", CONFIG.replace("here", "elsewhere"))
    assert backend.states([job_id]) == {}


def test_a_job_that_slurm_has_forgotten_has_ended(backend, job_id, programs):
    programs("squeue", "", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert backend.states([job_id])[job_id].state == "ended"


def test_a_command_that_hangs_is_given_up(programs):
    programs("squeue", "", "exec sleep 60")
    answer = client.ask("squeue", patience_s=0.2)
    assert (answer.ok, answer.error) == (False, "squeue did not answer within 0 s")


def test_elements_that_wait_as_one_are_told_apart(programs):
    programs("squeue", "20|20|[1-3,7%4]|PENDING|Resources||\n21|20|0|RUNNING|None|n1|\n")
    entries = client.queue(["20"])
    assert [entry.name for entry in entries] == ["20_1", "20_2", "20_3", "20_7", "20_0"]


def test_states_that_are_new_to_us_keep_a_job(programs):
    programs("squeue", "20|20|0|TELEPORTING|None|n1|\n")
    assert [entry.state for entry in client.queue(["20"])] == ["TELEPORTING"]


@pytest.mark.parametrize(
    ("rows", "state"),
    [
        ("CANCELLED by 0|2026-01-01T00:00:02|n1", "CANCELLED by 0"),
        ("CANCELLED+|2026-01-01T00:00:02|n1", "CANCELLED+"),
        ("NODE_FAIL|2026-01-01T00:00:01|n1\nRUNNING|Unknown|n2", "NODE_FAIL"),
        ("REQUEUED|2026-01-01T00:00:01|n1\nTIMEOUT|2026-01-01T00:00:09|n1", "TIMEOUT"),
        ("|2026-01-01T00:00:01|n1", None),
        ("sacct: error: no such thing", None),
        ("", None),
    ],
)
def test_the_last_state_is_of_the_last_incarnation_that_ended(programs, rows, state):
    programs("sacct", f"{rows}\n")
    assert accounting.last_state("20_0") == state


@pytest.mark.parametrize(
    "error",
    [
        "sbatch: error: QOSMaxSubmitJobPerUserLimit\\nallocation failure: Job violates policy",
        "sbatch: error: Unable to contact slurm controller (connect failure)",
        "allocation failure: Requested node configuration is not available",  # a node is drained
    ],
)
def test_what_passes_with_time_is_not_refused(backend, programs, error):
    programs("sbatch", "", f"printf '{error}\\n' >&2; exit 1")
    backend.check(Resources())


def test_what_sbatch_refuses_is_said_in_its_words(backend, programs):
    said = "sbatch: error: License x is unknown\\nallocation failure: Invalid license specification"
    programs("sbatch", "", f"printf '{said}\\n' >&2; exit 1")
    with pytest.raises(LaunchError) as caught:
        backend.check(Resources())
    assert str(caught.value) == (
        "SLURM would refuse these jobs: License x is unknown; Invalid license specification"
    )


def test_gpus_are_counted_by_node(backend):
    assert backend.node(Resources()).gpus == 4
    assert backend.node(Resources(constraint="h100")) is None


@pytest.mark.parametrize(
    ("gres", "gpus"),
    [
        ("(null)", 0),
        ("gpu:2", 2),
        ("gpu:a100:8(S:0-1)", 8),
        ("gpu:a100:4(S:0,2),gpu:v100:2,nvme:1", 6),
        ("mps:100,gpu:1", 1),
        ("gpu:(null)", 0),
    ],
)
def test_gpus_of_a_node_are_read_from_its_resources(gres, gpus):
    assert count_gpus(gres) == gpus


def test_no_controller_is_said_with_what_to_do(backend, programs):
    programs("scontrol", "", "echo 'Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(LaunchError, match=r"does not answer \(Unable to .*pass --backend local"):
        backend.check(Resources())


def test_no_sbatch_is_said_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LaunchError, match=r"sbatch is not installed here.*pass --backend local"):
        SlurmBackend(tmp_path / "runs").check(Resources())


def test_variables_of_sbatch_fill_in_what_a_sweep_leaves_open(backend, monkeypatch):
    monkeypatch.setenv("SBATCH_PARTITION", "gone")
    with pytest.raises(LaunchError, match="no partition 'gone'"):
        backend.check(backend.settle(Resources()))
    assert backend.settle(Resources(partition="gpu")).partition == "gpu"
    assert not any(name.startswith("SBATCH_") for name in client.clean_environ({"SBATCH_X": "1"}))


def test_what_they_fill_in_is_asked_for_again_by_a_job_that_has_none_of_them(
    backend, programs, tmp_path, monkeypatch
):
    sweep = request_for(write_sweep(tmp_path, seeds="[0]", resources="{gpus_per_node: 0}"))
    monkeypatch.setenv("SBATCH_ACCOUNT", "vision")
    monkeypatch.setenv("SBATCH_RESERVATION", "friday")
    outcome = reconcile(backend.runs, sweep, backend)
    for name in ("SBATCH_ACCOUNT", "SBATCH_RESERVATION"):
        monkeypatch.delenv(name)
    programs("squeue", "")

    submit_again(outcome.paths.values(), backend)

    scripts = [array.script.read_text() for array in backend.arrays.files.arrays()]
    assert len(scripts) == 2
    assert all("#SBATCH --account=vision" in script for script in scripts)
    assert all("#SBATCH --reservation=friday" in script for script in scripts)


def test_doctor_refuses_what_a_sweep_would_refuse(backend, programs):
    def request(**named):
        [check] = [one for one in backend.checks(Resources(**named)) if one.name == "request"]
        return check

    assert request(account="mine").ok
    refuses = (
        "printf 'sbatch: error: Invalid account or account/partition combination\\n' >&2; exit 1"
    )
    programs("sbatch", "", refuses)
    programs("sacctmgr", "mine\n")
    check = request(account="nope")
    assert not check.ok
    assert check.detail.endswith("resources.account is 'nope', valid: mine")


def test_doctor_says_of_an_unknown_partition_which_there_are_and_no_more(backend):
    checks = backend.checks(Resources(partition="gpuu"))
    [bad] = [check for check in checks if not check.ok]
    assert bad.name == "partition gpuu"
    assert bad.detail.endswith('valid: gpu; did you mean "gpu"?')
    assert not {check.name for check in checks} & {"preemption", "node names", "GPU isolation"}


def test_a_runs_folder_that_cannot_be_written_is_refused(programs):
    with pytest.raises(LaunchError, match=r"cannot write in /proc/version, where the runs folder"):
        SlurmBackend(Path("/proc/version/runs")).check(Resources())


def test_a_folder_of_this_machine_alone_is_warned_of(programs):
    (warning,) = SlurmBackend(Path("/dev/shm/deit runs")).check(Resources())
    assert "/dev/shm/deit runs" in warning
    assert "--runs-dir" in warning
