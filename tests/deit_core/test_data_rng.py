"""Keyed randomness: stable, distinct by purpose and counter, free of global state."""

import random

import numpy as np
import torch

from deit_core.data.rng import key64, numpy_rng

KNOWN_KEY = 1083108945180524534


def test_keys_are_the_same_on_every_machine():
    assert key64(0, "shuffle", 3) == KNOWN_KEY
    assert key64(0, "shuffle", np.int64(3)) == KNOWN_KEY


def test_keys_differ_in_every_argument_and_its_place():
    keys = {
        key64(0, "shuffle"),
        key64(1, "shuffle"),
        key64(0, "augment"),
        key64(0, "shuffle", 0),
        key64(0, "shuffle", 1, 23),
        key64(0, "shuffle", 12, 3),
    }
    assert len(keys) == 6


def test_generators_repeat_and_touch_no_global_state():
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    assert numpy_rng(5, "x", 1).random() == numpy_rng(5, "x", 1).random()
    assert numpy_rng(5, "x", 1).random() != numpy_rng(5, "x", 2).random()
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert torch.equal(torch.get_rng_state(), states[2])
