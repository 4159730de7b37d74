"""A gang's processes: what they are given, how they end together, what is said of it."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from launch_support import make_trial, until

from deit_core.errors import RunDirError
from launcher import gang as gang_module
from launcher.gang import Gang, exit_code, is_over, run_gang
from launcher.output import open_output

GANG = (sys.executable, "-P", "-m", "launcher.gang")


def shell(script):
    return ["sh", "-c", script]


@pytest.fixture
def start():
    """Start a gang of two with a script; whatever is left of it is killed after the test."""
    started = []

    def start_one(script, *options, **environment):
        process = subprocess.Popen(
            [*GANG, "2", *options, "--", *shell(script)],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start_one
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(gang_module, "GRACE_S", 0.1)
    monkeypatch.setattr(Gang.__init__, "__defaults__", (0.1,))


def waiting(tmp_path):
    """A script that says who it is and waits; and a function that waits for both to have said so.

    Its only child is the sleep that it has become, so nothing outlives it.
    """
    script = f'echo $$ > "{tmp_path}/$RANK.tmp" && mv "{tmp_path}/$RANK.tmp" "{tmp_path}/$RANK"; '

    def pids():
        files = [tmp_path / str(rank) for rank in range(2)]
        until(lambda: all(file.exists() for file in files))
        return [int(file.read_text()) for file in files]

    return script, pids


def is_gone(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def test_each_process_knows_who_it_is_and_has_its_share_of_the_cores(start):
    out, err = start(
        'echo "$RANK $LOCAL_RANK $WORLD_SIZE $OMP_NUM_THREADS $MKL_NUM_THREADS"'
        ' "${DEIT_RENDEZVOUS##*,}"',
        OMP_NUM_THREADS="6",
    ).communicate(timeout=30)
    lines = sorted(out.splitlines())
    assert [line.split()[:5] for line in lines] == [
        ["0", "0", "2", "3", "3"],
        ["1", "1", "2", "3", "3"],
    ]
    assert lines[0].split()[5] == lines[1].split()[5]
    assert lines[0].split()[5].startswith("127.0.0.1:")
    assert err == ""


def test_there_is_a_core_for_everyone(start):
    out, _ = start("echo $OMP_NUM_THREADS", OMP_NUM_THREADS="1").communicate(timeout=30)
    assert out.split() == ["1", "1"]


@pytest.mark.parametrize(
    ("codes", "killed", "said"),
    [
        ((0, 0), (), 0),
        ((85, 85), (), 85),
        ((2, 2), (), 2),
        ((1, -9), (), -9),  # the first one only noticed
        ((0, 3), (), 3),
        ((-9, 3), (0,), 3),  # killed by the gang
        ((3, -9), (1,), 3),
        ((85, 1), (), 85),
    ],
)
def test_the_code_that_says_most(codes, killed, said):
    assert exit_code(codes, killed) == said


@pytest.mark.parametrize(
    ("codes", "over"),
    [
        ((None, None), False),
        ((None, 0), False),  # the first one writes the last files
        ((None, 85), False),
        ((None, 1), True),
        ((None, -9), True),
        ((0, None), True),
    ],
)
def test_when_the_others_cannot_go_on(codes, over):
    assert is_over(codes) is over


def test_one_that_fails_takes_the_others_along(hasty):
    assert run_gang(shell('[ "$RANK" = 1 ] && exit 3; exec sleep 600'), 2) == 3


def test_one_that_is_killed_is_what_the_gang_dies_of(start):
    process = start('[ "$RANK" = 1 ] && kill -9 $$; exit 1')
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL


def test_a_command_that_does_not_exist_is_said(start):
    done = subprocess.run(
        [*GANG, "2", "--", "/no/such"], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 127
    assert "error: cannot start /no/such: No such file or directory" in done.stderr


@pytest.mark.parametrize("number", ["0", "-1", "two"])
def test_a_number_of_processes_that_is_none_is_refused(number):
    done = subprocess.run(
        [*GANG, "--", number, "true"], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 2
    assert f"{number!r} is no number of processes" in done.stderr


READY_LATE = """
import os, signal, sys
said = []
for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT):
    signal.signal(number, lambda number, _: said.append(signal.Signals(number).name))
path = sys.argv[1] + "/" + os.environ["RANK"]
with open(path + ".tmp", "w") as file:
    file.write(str(os.getpid()))
os.rename(path + ".tmp", path)
while not os.path.exists(sys.argv[1] + "/go"):
    signal.sigtimedwait([], 0.02)
assert not said, said
signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
while not said:
    signal.sigtimedwait([], 0.02)
os.write(1, f"{said}\\n".encode())  # at once, as both write
sys.exit(85)
"""


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [("SIGTERM", "SIGTERM"), ("SIGUSR1", "SIGUSR1"), ("SIGUSR2", "SIGUSR2"), ("SIGINT", "SIGTERM")],
)
def test_a_stop_signal_reaches_all_and_waits_until_they_are_ready(start, tmp_path, sent, arrives):
    """Also where it comes in the seconds in which torch is imported."""
    _, pids = waiting(tmp_path)
    script = tmp_path / "late.py"
    script.write_text(READY_LATE)
    process = start(f'exec "{sys.executable}" "{script}" "{tmp_path}"')
    pids()
    os.kill(process.pid, signal.Signals[sent])
    (tmp_path / "go").touch()
    out, err = process.communicate(timeout=30)
    assert (out, err, process.returncode) == (f"['{arrives}']\n" * 2, "", 85)


def test_a_gang_that_is_killed_takes_all_along(start, tmp_path):
    script, pids = waiting(tmp_path)
    process = start(script + "exec sleep 600")
    members = pids()
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: all(is_gone(pid) for pid in members))


def test_a_lock_given_to_the_gang_is_held_by_its_processes(start, tmp_path):
    """The local queue knows by it whether any process of a job lives."""
    script, pids = waiting(tmp_path)
    handle = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    os.set_inheritable(handle, True)
    process = subprocess.Popen(
        [*GANG, "2", "--", *shell(script + "exec sleep 600")], pass_fds=(handle,)
    )
    try:
        opened = [
            {os.path.realpath(f) for f in Path(f"/proc/{pid}/fd").iterdir()} for pid in pids()
        ]
    finally:
        process.kill()
        process.wait()
        os.close(handle)
    assert all(str(tmp_path / "lock") in files for files in opened)


def test_the_first_prints_where_the_gang_does_the_others_to_their_logs(start, tmp_path):
    run = make_trial(tmp_path, 0)
    options = ("--run-dir", str(run.path), "--job", "a1b2")
    out, err = start('echo "out $RANK"; echo "err $RANK" >&2', *options).communicate(timeout=30)
    assert (out, err) == ("out 0\n", "err 0\n")
    opening, *lines = run.rank_log(1).read_text().splitlines()
    assert opening.startswith("==== attempt 1 · ")
    assert opening.endswith(" · job a1b2 · process 1 ====")
    assert sorted(lines) == ["err 1", "out 1"]


def test_a_log_that_cannot_be_written_is_said_in_one_line(start, tmp_path):
    (tmp_path / "file").touch()
    process = start("true", "--run-dir", str(tmp_path / "file"))
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err.count("\n")) == (2, 1)
    assert err.startswith("error: cannot write ")


def test_output_that_cannot_be_opened_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunDirError, match=r"cannot write .*file"):
        open_output([tmp_path / "file"], 0, "one")


def test_a_process_can_redirect_itself(tmp_path):
    run = make_trial(tmp_path, 0)
    code = (
        "import os, sys\n"
        "from launcher.output import redirect_output\n"
        "redirect_output([sys.argv[1]], int(sys.argv[2]), 'a1b2')\n"
        "os.system('echo out; echo err >&2')\n"
    )
    for rank in ("0", "1"):
        subprocess.run([sys.executable, "-c", code, run.path, rank], check=True, timeout=30)
    assert run.stdout_file.read_text().splitlines()[1:] == ["out"]
    assert run.stderr_file.read_text().splitlines()[1:] == ["err"]
    assert run.rank_log(1).read_text().splitlines()[1:] == ["out", "err"]
