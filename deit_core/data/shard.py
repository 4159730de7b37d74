"""Which rows of the global batch a process holds.

What a step sees does not depend on the number of processes: the batch is drawn whole, and each
process makes its rows of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deit_core.errors import DataError

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Shard:
    """Process `rank` of `world`."""

    rank: int = 0
    world: int = 1

    def rows(self, batch_size: int, *, paired: bool) -> Rows:
        """This process's rows of a batch, ascending; over all processes each row once.

        Args:
            batch_size: images of the global batch.
            paired: mixing pairs row i with row batch_size - 1 - i: keep the two in one process.
                Then row j of the shard is paired with row -1 - j of the shard.

        Raises:
            DataError: the batch cannot be divided so.
        """
        parts = self.world * (2 if paired and self.world > 1 else 1)
        if batch_size % parts:
            reason = " in pairs" if paired else ""
            raise DataError(
                f"a batch of {batch_size} cannot be divided{reason} among {self.world} processes; "
                f"set train.global_batch_size to a multiple of {parts}"
            )
        share = batch_size // parts
        first = np.arange(self.rank * share, (self.rank + 1) * share, dtype=np.int64)
        if parts == self.world:
            return first
        return np.concatenate([first, batch_size - 1 - first[::-1]])


WHOLE = Shard()
"""The shard of a process alone."""
