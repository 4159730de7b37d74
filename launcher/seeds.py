"""The seeds of a sweep: every variant is trained once with each."""

from __future__ import annotations

from launcher.errors import SweepError
from launcher.layers import Tree
from launcher.yaml_source import Node

MAX_SEED = 2**32 - 1
"""Largest seed that a training config takes."""


def config_seed(tree: Tree) -> tuple[int, ...]:
    """The one seed of a training config; 0 where it names none."""
    node = tree.get("seed")
    return (_seed(node),) if node is not None and node.value is not None else (0,)


def parse_seeds(node: Node) -> tuple[int, ...]:
    """Parse `[0, 1, 2]`, or 3 for the same.

    Raises:
        SweepError: no seeds, the same one twice, or something that is no seed.
    """
    if isinstance(node.value, int) and not isinstance(node.value, bool):
        if node.value < 1:
            raise SweepError(
                f"seeds: {node.value} seeds train nothing; give at least 1", node.location
            )
        return tuple(range(node.value))
    if not isinstance(node.value, tuple):
        raise SweepError(
            f"seeds: expected a list such as [0, 1, 2], or a number of seeds, "
            f"but {node.kind} is given",
            node.location,
        )
    if not node.value:
        raise SweepError("seeds: the list is empty; give at least one seed", node.location)
    seeds: list[int] = []
    for item in node.value:
        seed = _seed(item)
        if seed in seeds:
            raise SweepError(f"seeds: {seed} is listed twice; remove one", item.location)
        seeds.append(seed)
    return tuple(seeds)


def _seed(node: Node) -> int:
    value = node.value
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_SEED:
        raise SweepError(
            f"seeds: a seed is a whole number from 0 to {MAX_SEED}, but {node.kind} is given",
            node.location,
        )
    return value
