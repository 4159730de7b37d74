"""A gang: the processes of one job on this machine, started, stopped and lost together.

`python -P -m launcher.gang N [--run-dir RUN_DIR] [--job NAME] -- COMMAND…` starts COMMAND N times
with RANK, WORLD_SIZE, LOCAL_RANK and DEIT_RENDEZVOUS, an equal share of the cores each, and the
GPUs that it was given itself: process r takes the r-th. The first process prints where the gang
prints, the others to their logs in RUN_DIR, if one is given.

Stop signals are passed on. When one process ends by itself with an error, or the first one ends,
the others are killed after `GRACE_S`. When the gang is killed, the kernel kills them all (Linux).

Exit code: that of the first process, else of the first one that failed. If a process was killed by
a signal, the gang dies by the same one, so a shell sees 128 + signal as it would of the process.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

from deit_core.cores import job_cores
from deit_core.errors import UserError
from launcher import rank_start
from launcher.output import open_output
from launcher.rendezvous import Rendezvous

GRACE_S = 10.0
"""For the others to find out by themselves, to say so, and to leave."""
_TICK_S = 0.05
_EXIT_USER_ERROR = 2
_NO_ERROR = (0, 85)
"""Completed; saved and left, on which all processes have agreed."""

_START = (sys.executable, "-I", "-S", rank_start.__file__)


class Gang:
    """The processes that were started, by rank."""

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self.grace_s = grace_s
        self.members: list[subprocess.Popen[bytes]] = []
        self._received: list[int] = []
        self._kill_at: float | None = None
        self._killed: set[int] = set()

    @contextlib.contextmanager
    def passing_on_signals(self) -> Iterator[None]:
        """Pass stop signals on to all members, also to those that are started later."""
        before = {n: signal.signal(n, self._pass_on) for n in rank_start.STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        # A terminal sends its interrupt to the members too, and a second one would end them at
        # once, so they are given another signal that asks for the same.
        asked = signal.SIGTERM if number == signal.SIGINT else number
        self._received.append(asked)
        for member in self.members:
            member.send_signal(asked)

    def start(
        self, command: Sequence[str], environ: Mapping[str, str], output: IO[bytes] | None
    ) -> None:
        """Start one more member."""
        member = subprocess.Popen(
            [*_START, str(os.getpid()), *command],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            close_fds=False,  # whoever started the gang may hold a lock through its processes
        )
        asked_before = len(self._received)
        self.members.append(member)
        for number in self._received[:asked_before]:
            member.send_signal(number)

    def wait(self) -> int:
        """Wait for all members; the exit code, negative for a signal."""
        while None in (codes := [member.poll() for member in self.members]):
            if self._kill_at is None and is_over(codes):
                self._kill_at = time.monotonic() + self.grace_s
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                self.kill()
            time.sleep(_TICK_S)
        return exit_code([code for code in codes if code is not None], self._killed)

    def kill(self) -> None:
        """Kill whoever still lives."""
        for rank, member in enumerate(self.members):
            if member.poll() is None:
                self._killed.add(rank)
                member.kill()


def is_over(codes: Sequence[int | None]) -> bool:
    """Whether the members that still run (None) cannot go on: the first one is gone, or one failed.

    The others may have ended well before the first one has: it writes the last files alone.
    """
    return codes[0] is not None or any(code not in (None, *_NO_ERROR) for code in codes)


def exit_code(codes: Sequence[int], killed: Collection[int] = ()) -> int:
    """The one that says most: of who was killed by others than us, else of who failed first.

    Args:
        codes: by rank; negative for a signal.
        killed: ranks that the gang has killed itself, whose codes say nothing.
    """
    own = [code for rank, code in enumerate(codes) if rank not in killed]
    signals = [code for code in own if code < 0]
    failed = [code for code in own if code != 0]
    return (signals or failed or [0])[0]


def run_gang(
    command: Sequence[str], world: int, *, run_dir: Path | None = None, job: str = ""
) -> int:
    """Run a command in `world` processes to its end.

    Returns:
        The exit code; negative for the signal that ended a process.

    Raises:
        RunDirError: a log cannot be written.
    """
    gang = Gang()
    with Rendezvous(world) as rendezvous, gang.passing_on_signals():
        shared = os.environ | rendezvous.environ() | _threads(world)
        try:
            for rank in range(world):
                environ = shared | rank_environ(rank, world)
                with contextlib.ExitStack() as files:
                    output = None
                    if rank and run_dir is not None:
                        output, _ = map(files.enter_context, open_output([run_dir], rank, job))
                    gang.start(command, environ, output)
            return gang.wait()
        finally:
            gang.kill()


def rank_environ(rank: int, world: int) -> dict[str, str]:
    """What tells a process which one it is, where all of them share a machine."""
    return {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}


def _threads(world: int) -> dict[str, str]:
    share = str(max(1, job_cores(os.environ) // world))
    return {"OMP_NUM_THREADS": share, "MKL_NUM_THREADS": share}


def _die_by(number: int) -> None:
    """End this process by a signal, as one of the members was ended, without a second core dump."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes; give 1 or more")
    return int(text)


def main() -> int:
    """Parse the command line and run the gang."""
    parser = argparse.ArgumentParser(prog="python -P -m launcher.gang", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("processes", metavar="N", type=_positive)
    parser.add_argument("--run-dir", type=Path)
    parser.add_argument("--job", default="by hand")
    parser.add_argument("command", metavar="COMMAND", nargs="+")
    given = parser.parse_args()
    try:
        code = run_gang(given.command, given.processes, run_dir=given.run_dir, job=given.job)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return _EXIT_USER_ERROR
    if code < 0:
        _die_by(-code)
    return code


if __name__ == "__main__":
    sys.exit(main())
