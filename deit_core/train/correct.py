"""Which val images a student gets right, put together from batches and processes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from deit_core.correct_records import ValCorrectRecord, image_list_key
from deit_core.train.dist import Ranks


class CorrectImages:
    """One bit for each image of a pass of val; on the device until `merge`, so nothing waits."""

    def __init__(self) -> None:
        self._indices: list[Tensor] = []
        self._hits: list[Tensor] = []
        self._merged: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]] = []

    def add(self, hits_B: Tensor, indices_B: Tensor) -> None:
        """Note the outcomes of a batch: bool, and the number of each image in val."""
        self._hits.append(hits_B)
        self._indices.append(indices_B)

    def merge(self, ranks: Ranks) -> None:
        """Put together what all processes have noted."""
        if self._hits:
            own = torch.cat(self._indices).numpy(), torch.cat(self._hits).cpu().numpy()
        else:
            own = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_)
        self._merged = ranks.gather(own)

    def record(self, trial_id: str, val_fingerprint: str) -> ValCorrectRecord:
        """The outcomes in order of val, whichever process saw which image; after `merge`."""
        indices = np.concatenate([indices for indices, _ in self._merged])
        hits = np.concatenate([hits for _, hits in self._merged])
        order = np.argsort(indices, kind="stable")
        key = image_list_key(val_fingerprint, indices[order])
        return ValCorrectRecord.of(trial_id, hits[order], key)
