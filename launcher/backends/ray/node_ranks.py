"""The ranks of an attempt that run on one node: started, watched and stopped. Knows no Ray."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from launcher import rank_start
from launcher.backends.job_environment import job_environment
from launcher.backends.job_queue import JobQueue, QueuedJob
from launcher.output import open_output

_START = (sys.executable, "-I", "-S", rank_start.__file__)


@dataclass(frozen=True)
class Share:
    """What one node is to run of an attempt."""

    queue: str
    """Folder of the queue; what a job is, and whose environment it has, is read there."""
    tag: str
    run_dirs: tuple[str, ...]
    first_rank: int
    ranks: int
    meeting: Mapping[str, str]
    """Environment variables by which the ranks of all nodes meet; empty for one rank alone."""


class NodeRanks:
    """Ranks whose parent is this process; the kernel kills them with the thread that starts them.

    So `start` is to be called by a thread that stays until they have ended.
    """

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, share: Share, gpus: Sequence[str]) -> None:
        """Start them.

        Args:
            share: which.
            gpus: names of this node's GPUs that they may use, as CUDA_VISIBLE_DEVICES takes them.

        Raises:
            RunDirError: the job or a log cannot be read or written here.
            OSError: the trainer cannot be started.
        """
        queue = JobQueue(Path(share.queue))
        job = queue.read(share.tag)
        threads = max(1, job.cpus // job.processes)
        shared = job_environment(queue, job, gpus, threads) | dict(share.meeting)
        for local_rank in range(share.ranks):
            rank = share.first_rank + local_rank
            named = {} if job.processes == 1 else _rank_environment(rank, local_rank, job)
            with contextlib.ExitStack() as files:
                logs = open_output(share.run_dirs, rank, share.tag)
                out, err = (files.enter_context(log) for log in logs)
                self._processes.append(
                    subprocess.Popen(
                        [*_START, str(os.getpid()), *job.command, *share.run_dirs],
                        stdin=subprocess.DEVNULL,
                        stdout=out,
                        stderr=err,
                        cwd=job.cwd if os.path.isdir(job.cwd) else queue.path,
                        env=shared | named,
                        start_new_session=True,
                    )
                )

    def codes(self) -> list[int | None]:
        """Exit codes of the ranks, negative for a signal; None of those that still run."""
        return [process.poll() for process in self._processes]

    def stop(self) -> None:
        """Ask them to save and to leave; their loader processes must outlive the checkpoint."""
        for process in self._processes:
            process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill whoever lives, and all that they have started."""
        for process in self._processes:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def wait(self) -> None:
        """Wait for the end of ranks that have been killed."""
        for process in self._processes:
            process.wait()


def _rank_environment(rank: int, local_rank: int, job: QueuedJob) -> dict[str, str]:
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(local_rank),
        "WORLD_SIZE": str(job.processes),
    }
