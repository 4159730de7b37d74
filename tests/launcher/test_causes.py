"""What ended an attempt, from what its processes and its scheduler left behind."""

import pytest

from deit_core.records import StatusRecord
from deit_core.run_dir import RunDir
from launcher.causes import describe, find_cause, killed_by
from launcher.evidence import Evidence, gather_evidence, last_traceback
from launcher.output import SEPARATOR

IMPORT = """Traceback (most recent call last):
  File "x.py", line 1, in <module>
    import nowhere
ModuleNotFoundError: No module named 'nowhere'
"""
CUDA = """[rank1]: Traceback (most recent call last):
[rank1]:   File "learner.py", line 9, in step
[rank1]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.
"""


def cause(said="", *, exit_code=1, known=None, **status):
    evidence = Evidence(text=said, traceback=last_traceback(said.splitlines()))
    return find_cause(StatusRecord(**{"state": "running", **status}), exit_code, known, evidence)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (CUDA, "gpu_memory"),
        ("RuntimeError: CUDA error: out of memory", "gpu_memory"),
        ("slurmstepd: error: Detected 1 oom_kill event in StepId=7.0. Some", "host_memory"),
        ("MemoryError", "host_memory"),
        ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 9 GiB", "host_memory"),
        ("RuntimeError: DataLoader worker (pid 7) is killed by signal: Killed. ", "host_memory"),
        ("RuntimeError: DefaultCPUAllocator: not enough memory: you tried", "host_memory"),
        ("RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried", "host_memory"),
        (IMPORT, "user_error"),
        ("error: another process of this job ended; its messages say why", "lost"),
        ("RuntimeError: boom", "crashed"),
        ("", "crashed"),
    ],
)
def test_words_of_the_logs(said, expected):
    assert cause(said) == expected


def test_an_import_that_fails_after_training_began_is_a_crash():
    assert cause(IMPORT, step=5) == "crashed"


@pytest.mark.parametrize(("code", "name"), [(-9, "SIGKILL"), (137, "SIGKILL"), (-11, "SIGSEGV")])
def test_a_killed_process_is_lost_however_its_signal_is_told(code, name):
    assert killed_by(code) == name
    assert cause(exit_code=code) == "lost"


@pytest.mark.parametrize("code", [-15, 138, -12])
def test_a_process_that_a_stop_signal_ends_while_it_starts_was_preempted(code):
    assert cause(exit_code=code) == "preempted"


def test_killed_with_a_word_from_the_kernel_is_memory():
    assert cause("Detected 1 oom-kill event", exit_code=137) == "host_memory"


@pytest.mark.parametrize("code", [0, 1, 2, 85, 127, 255, None])
def test_other_exit_codes_are_no_signals(code):
    assert killed_by(code) is None


def test_the_files_of_a_trial_and_its_exit_code():
    assert cause(exit_code=None) == "lost"
    assert cause(exit_code=2) == "user_error"
    assert cause(exit_code=85) == "preempted"
    assert cause(state="preempted", exit_code=1) == "preempted"
    assert cause(CUDA, state="pruned", exit_code=1) == "pruned"  # another of its cohort crashed
    assert cause(CUDA, state="failed", failure="diverged") == "diverged"
    assert cause(CUDA, state="failed", failure="user_error") == "user_error"
    reason = "OutOfMemoryError: CUDA out of memory. Tried to allocate"
    assert cause(state="failed", failure="crashed", reason=reason) == "gpu_memory"


def test_what_the_scheduler_knows_outranks_what_the_ranks_say_of_it():
    lost = "error: another process of this job ended"
    assert cause(lost, known="node_failure") == "node_failure"
    assert cause(state="preempted", known="timeout", exit_code=85) == "timeout"
    assert cause(state="failed", failure="diverged", known="timeout") == "diverged"


def write(log, *attempts):
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("".join(f"{SEPARATOR} attempt · now {SEPARATOR}\n{said}\n" for said in attempts))


def test_evidence_is_of_the_latest_attempt_alone(tmp_path):
    run = RunDir(tmp_path)
    write(run.stderr_file, CUDA, "error: this trial is refused")
    found = gather_evidence(run)
    assert (found.complaint, found.traceback) == ("this trial is refused", ())
    assert "CUDA" not in found.text


def test_the_rank_that_failed_speaks_not_the_one_that_missed_it(tmp_path):
    run = RunDir(tmp_path)
    write(run.stderr_file, "error: another process of this job ended; its messages say why")
    write(run.rank_log(1), CUDA)
    found = gather_evidence(run)
    assert (
        found.exception == "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    )
    assert found.source == run.rank_log(1)
    lost = "another process of this job ended; its messages, or the system's log, say why"
    status = StatusRecord(state="failed", failure="crashed", reason=lost)
    assert find_cause(status, 1, None, found) == "gpu_memory"
    assert describe("gpu_memory", status, 1, found) == f"in another process: {found.exception}"


def test_the_end_of_a_long_log_is_enough(tmp_path):
    run = RunDir(tmp_path)
    write(run.stderr_file, "x" * 1_000_000 + "\nerror: at last")
    assert gather_evidence(run).complaint == "at last"


def test_a_traceback_ends_with_its_exception():
    lines = ["before", *IMPORT.splitlines(), "after", "  more"]
    assert last_traceback(lines) == tuple(IMPORT.splitlines())
    assert last_traceback(["Traceback", "no"]) == ()


def test_reasons_are_one_line():
    status = StatusRecord(state="running", step=4)
    assert describe("node_failure", status, None, Evidence()) == "its node failed at step 4"
    assert describe("lost", status, 137, Evidence()) == (
        "its process was killed by SIGKILL (out of memory?) at step 4"
    )
    torn = StatusRecord(state="failed", failure="crashed", reason="two\n  lines")
    assert describe("crashed", torn, 1, Evidence()) == "two lines"
    lost = StatusRecord(state="failed", failure="crashed", reason="another process ended", step=4)
    assert describe("node_failure", lost, 1, Evidence()) == "its node failed at step 4"
