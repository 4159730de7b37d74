"""Which val images a trained model gets right, image by image. Torch-free.

Two models that were evaluated on the same images can be compared on them one by one (McNemar's
test), which says more than their two accuracies.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, Any, Literal, Self

from deit_core.errors import SchemaError
from deit_core.records import Record

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Bits = npt.NDArray[np.bool_]
    Numbers = npt.NDArray[np.int64]


class ValCorrectRecord(Record):
    """val_correct.json: the last evaluation of val, one bit for each image."""

    trial_id: str
    head: Literal["fused"] = "fused"
    """The prediction that `val_top1` of the summary is about."""
    images: int
    """Images that were evaluated; those that cannot be read are left out."""
    correct: int
    """How many of them are right: `val_top1` is 100 * (correct / images)."""
    val_key: str
    """Hash of which images these are, in order: only records of equal keys can be compared."""
    bits: str
    """Base64 of one bit for each image in order of val, 1: right; 8 to a byte, first bit highest,
    the last byte filled up with 0."""

    @classmethod
    def of(cls, trial_id: str, hits: Bits, val_key: str) -> Self:
        """Pack the outcome of each image, shape (N,), in order of val."""
        import numpy as np

        return cls(
            trial_id=trial_id,
            images=len(hits),
            correct=int(hits.sum()),
            val_key=val_key,
            bits=base64.b64encode(np.packbits(hits).tobytes()).decode(),
        )

    @classmethod
    def from_json(cls, values: Any, where: str) -> Self:
        """See `Record.from_json`; the bits must be as many as it says, too.

        Raises:
            SchemaError: a newer schema version, or values that do not fit each other.
        """
        record = super().from_json(values, where)
        try:
            packed = base64.b64decode(record.bits, validate=True)
        except (binascii.Error, ValueError):
            raise SchemaError(f"{where} is damaged: bits: not base64") from None
        right = int.from_bytes(packed).bit_count()
        if len(packed) != (record.images + 7) // 8 or right != record.correct:
            raise SchemaError(
                f"{where} is damaged: bits: {right} ones in {len(packed)} bytes, expected "
                f"{record.correct} of {record.images}"
            )
        return record

    def hits(self) -> Bits:
        """Whether each image is right, shape (images,), in order of val."""
        import numpy as np

        packed = np.frombuffer(base64.b64decode(self.bits), dtype=np.uint8)
        return np.unpackbits(packed, count=self.images).astype(np.bool_)


def image_list_key(val_fingerprint: str, indices: Numbers) -> str:
    """Hash of an ordered list of images of a split.

    Args:
        val_fingerprint: `ImageSource.fingerprint` of the split.
        indices: numbers of the images in it, shape (N,).
    """
    hashed = hashlib.sha256(f"{val_fingerprint}\n".encode())
    hashed.update(indices.astype("<i8").tobytes())
    return hashed.hexdigest()[:16]
