"""MATLAB files of version 5, in which older data sets keep their labels."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

_DAMAGED = (
    *(OSError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError),
    *(OverflowError, MemoryError, NotImplementedError, struct.error, zlib.error),
)


def read_mat(content: bytes) -> dict[str, Any]:
    """The variables in the content of a file, without dimensions of size one.

    Raises:
        ValueError: it is damaged, or no such file.
    """
    from scipy.io import loadmat  # takes half a second, and few jobs need it
    from scipy.io.matlab import MatReadError

    try:
        file: Any = BytesIO(content)  # scipy's stubs know paths only
        return dict(loadmat(file, squeeze_me=True))
    except (*_DAMAGED, MatReadError) as error:
        raise ValueError(f"no MATLAB file: {error or type(error).__name__}") from None
