"""Keyed randomness: every draw is a pure function of (seed, purpose, counters).

No generator outlives the draw it is made for, so there is no state to save, to restore, or to share
between workers and ranks: whoever asks with the same key gets the same numbers.
"""

from __future__ import annotations

import hashlib

import numpy as np


def key64(seed: int, purpose: str, *counters: int) -> int:
    """A 64-bit key for one draw, the same on every machine and Python version.

    Args:
        seed: the run's seed.
        purpose: what is drawn, such as "shuffle"; different purposes never share numbers.
        counters: which draw of that purpose, such as the epoch and the index of an image.

    Returns:
        An integer in [0, 2**64): the first 8 bytes of a BLAKE2b hash over all arguments.
    """
    text = "\0".join((str(seed), purpose, *map(str, counters)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def numpy_rng(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """A fresh NumPy generator for one draw; see `key64` for the arguments.

    Philox is counter-based: giving it the key is all the set-up it needs.
    """
    return np.random.Generator(np.random.Philox(key=key64(seed, purpose, *counters)))
