"""Becomes one rank of a job: `srun … python -P -m launcher.backends.slurm.rank JOB N COMMAND…`.

JOB is how users know the job, N the number of run directories at the end of COMMAND. What SLURM
says about the rank is put into the words that torch.distributed knows.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from launcher.rank_start import become, hold_stop_signals

GPUS_VARIABLE = "DEIT_GPUS_PER_NODE"
"""How many GPUs were asked for. srun itself hides none where it does not manage them."""


def rank_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """RANK, WORLD_SIZE and LOCAL_RANK of this task."""
    given = {
        "RANK": environ["SLURM_PROCID"],
        "WORLD_SIZE": environ["SLURM_NTASKS"],
        "LOCAL_RANK": environ["SLURM_LOCALID"],
    }
    if environ.get(GPUS_VARIABLE) == "0":
        return given | {"CUDA_VISIBLE_DEVICES": ""}
    visible = [name for name in environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    if len(visible) == 1 and given["WORLD_SIZE"] != "1":
        given["DEIT_GPU_BOUND"] = "1"  # the site gives each task a GPU of its own
    return given


def main() -> None:
    """Take the rank's name and place, and become its command."""
    hold_stop_signals()
    from deit_core.errors import RunDirError  # imports take a while, in which a signal would kill
    from launcher.output import redirect_output

    job, count, *command = sys.argv[1:]
    os.environ.update(rank_environ(os.environ))
    try:
        redirect_output(command[-int(count) :], int(os.environ["RANK"]), job)
    except RunDirError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    become(command)


if __name__ == "__main__":
    main()
