"""Jobs of several processes for tests: forked from one that has imported torch already.

Starting a process by torchrun takes seconds of imports; the tests here need dozens.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deit_core.run_dir import RunDir

Patch = Callable[[int], None]
"""Changes something in a process before it starts; takes its rank. A function of a module."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["deit_core.train.job", "deit_core.models.timm_import"])


@dataclass(frozen=True)
class Done:
    """What the processes of a job left."""

    codes: list[int | None]
    """Exit code of each rank; minus the signal that ended it."""
    output: str
    """What all of them wrote."""


def train(world: int, *runs: RunDir, patch: Patch | None = None, check: int | None = 0) -> Done:
    """Train run directories in `world` processes, which must all exit with `check` if given."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    paths = [str(run.path) for run in runs]
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder) / f"{rank}.txt" for rank in range(world)]
        processes = [
            _context.Process(
                target=_rank, args=(rank, world, port, paths, str(outputs[rank]), patch)
            )
            for rank in range(world)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(180)
            if process.is_alive():
                process.kill()
        done = Done(
            [process.exitcode for process in processes],
            "".join(path.read_text(encoding="utf-8") for path in outputs if path.exists()),
        )
    assert check is None or set(done.codes) == {check}, done.output
    return done


def _rank(
    world_rank: int, world: int, port: int, paths: list[str], output: str, patch: Patch | None
) -> None:
    variables = {
        "RANK": world_rank,
        "LOCAL_RANK": world_rank,
        "WORLD_SIZE": world,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "OMP_NUM_THREADS": 1,
    }
    os.environ |= {name: str(value) for name, value in variables.items()}
    if world == 1:
        for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
            del os.environ[name]
    file = os.open(output, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = ["deit_core", *paths]
    if patch is not None:
        patch(world_rank)
    from deit_core.__main__ import main

    sys.exit(main())
