"""Needing less of a GPU's memory: the same batch in smaller parts, which is another trial."""

from __future__ import annotations

from deit_core.config import TrainConfig

SETTING = "train.micro_batch_size"


def smaller_micro_batch(train: TrainConfig, processes: int = 1) -> int | None:
    """Half the images of a forward pass that a process takes now; None where it takes one."""
    share = -(-train.global_batch_size // processes)
    now = min(train.micro_batch_size or share, share)
    return now // 2 or None
