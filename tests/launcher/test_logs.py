"""What `logs` shows: attempts, cohorts, ranks, the scheduler's words."""

import pytest

from deit_core.records import StatusRecord
from deit_core.run_dir import RunDir
from launcher.errors import LaunchError
from launcher.logs import LogFilter, follow_logs, show_last_words, show_logs, show_scheduler_log
from launcher.output import open_output


@pytest.fixture
def trials(tmp_path):
    found = [RunDir(tmp_path / name) for name in ("one", "two")]
    for run in found:
        run.write_status(StatusRecord())
    return found


def attempt(trials, job, text, *, ranks=1):
    """An attempt of a job whose processes each print a line to both streams."""
    for rank in range(ranks):
        out, err = open_output([run.path for run in trials], rank, job)
        with out, err:
            out.write(f"{text} from {rank}\n".encode())
            err.write(f"{text} is wrong in {rank}\n".encode())
    for run in trials:
        status = run.read_status()
        run.write_status(status.model_copy(update={"attempt": status.attempt + 1}))


def shown(run, **wanted):
    pieces = []
    show_logs(run, pieces.append, LogFilter(**wanted))
    return "".join(pieces)


def lines(text):
    """What was printed, without headings."""
    return [line for line in text.splitlines() if not line.startswith(("====", "----"))]


def test_every_attempt_is_shown_under_its_heading(trials):
    one, _ = trials
    attempt([one], "a", "first")
    attempt([one], "b", "second")
    text = shown(one)
    assert lines(text) == [
        *("first from 0", "second from 0", "first is wrong in 0", "second is wrong in 0")
    ]
    assert [line.split()[2] for line in text.splitlines() if line.startswith("====")] == [*"1212"]


def test_one_attempt_alone(trials):
    one, _ = trials
    attempt([one], "a", "first")
    attempt([one], "b", "second")
    assert lines(shown(one, attempt=2)) == ["second from 0", "second is wrong in 0"]
    with pytest.raises(LaunchError, match=r"there is no attempt 3; there are 1 to 2"):
        shown(one, attempt=3)


def test_a_member_of_a_cohort_shows_its_own_attempts_wherever_they_were_printed(trials):
    one, two = trials
    attempt([one], "a", "before two was there")
    attempt([one, two], "b", "together")
    attempt([two], "c", "alone again")
    text = shown(two)
    assert lines(text)[:2] == ["together from 0", "alone again from 0"]
    assert "before two was there" not in text
    assert f"---- stdout.log (of the cohort): {one.stdout_file}" in text
    assert lines(shown(two, attempt=2)) == ["alone again from 0", "alone again is wrong in 0"]


def test_other_ranks_on_request(trials):
    one, two = trials
    attempt([one, two], "a", "hello", ranks=3)
    assert lines(shown(two)) == ["hello from 0", "hello is wrong in 0"]
    assert sorted(lines(shown(two, rank=2))) == ["hello from 2", "hello is wrong in 2"]
    assert sum("hello from" in line for line in lines(shown(one, rank=None))) == 3
    with pytest.raises(LaunchError, match=r"there is no log of rank 7; there are 0 to 2"):
        shown(one, rank=7)


def test_lines_with_a_text_alone(trials):
    one, _ = trials
    attempt([one], "a", "first", ranks=2)
    assert shown(one, grep="wrong").splitlines() == [
        f"---- stderr.log: {one.stderr_file}",
        "first is wrong in 0",
    ]
    with pytest.raises(LaunchError, match=r"no line has 'missing'"):
        shown(one, grep="missing")


def test_following_keeps_to_the_rank_and_the_text(trials):
    one, _ = trials
    attempt([one], "a", "first", ranks=2)
    pieces = []
    follow_logs(one, pieces.append, lambda: False, LogFilter(rank=1, grep="from"))
    assert "".join(pieces).splitlines() == [f"---- rank1.log: {one.rank_log(1)}", "first from 1"]


def test_the_schedulers_words_end_the_output_of_a_failed_trial(trials):
    one, _ = trials
    attempt([one], "a", "first")
    one.scheduler_log.write_text("slurmstepd: CANCELLED DUE TO TIME LIMIT\n")
    pieces = []
    show_last_words(one, pieces.append)
    assert pieces == []
    one.write_status(one.read_status().model_copy(update={"state": "failed"}))
    show_last_words(one, pieces.append)
    show_scheduler_log(one, pieces.append)
    assert "".join(pieces).count("DUE TO TIME LIMIT") == 2
    later = {"started_unix_s": one.scheduler_log.stat().st_mtime + 60}
    one.write_status(one.read_status().model_copy(update=later))
    show_last_words(one, last := [].append)
    assert last.__self__ == []
