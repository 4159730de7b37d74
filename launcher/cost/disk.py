"""What the run directory of a trial will hold."""

from __future__ import annotations

import shutil
from pathlib import Path

from launcher.cost.interval import Interval
from launcher.cost.memory import FLOAT_BYTES, state_numbers
from launcher.cost.workload import Workload

_GIB = 2**30
_CHECKPOINTS = 2
"""`deit_core.train.checkpoint` keeps the newest and one to fall back to."""
_RECORDS_BYTES = Interval(2e4, 1.5e5, 1.2e6)
"""Config, environment, status, logs; above, with the patch of a dirty source tree (1 MB)."""
_ROW_BYTES = Interval(250, 500, 1000)
"""A row of metrics.jsonl, and the same in TensorBoard's event file."""


def disk_gib(load: Workload) -> Interval:
    """GiB of a trial's run directory when it has finished.

    Two checkpoints (weights, the optimiser's moments, averaged weights), the final weights and
    averages, and the rows of both logs. Low: a run too short for a second checkpoint. High: also
    the checkpoint that is being written before the oldest goes.
    """
    config = load.config
    parameter_bytes = load.student.parameters * FLOAT_BYTES
    checkpoint = parameter_bytes * state_numbers(config)
    final = parameter_bytes * (1 + (config.train.ema_decay is not None))
    rows = load.steps // config.logging.every_steps + load.evaluations
    return Interval(
        final + checkpoint + _RECORDS_BYTES.low + _ROW_BYTES.low * rows,
        final + _CHECKPOINTS * checkpoint + _RECORDS_BYTES.point + _ROW_BYTES.point * rows,
        final + (_CHECKPOINTS + 1) * checkpoint + _RECORDS_BYTES.high + _ROW_BYTES.high * rows,
    ) * (1 / _GIB)


def free_gib(folder: Path) -> float | None:
    """Free space where a folder is, or will be made; None where that cannot be told."""
    for place in (folder.absolute(), *folder.absolute().parents):
        try:
            return shutil.disk_usage(place).free / _GIB
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None
