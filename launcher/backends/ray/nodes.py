"""The nodes of an attempt, from inside Ray: the worker that runs it, and one on each other node.

Does not import Tune, which takes seconds that the workers of other nodes need not spend.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import ray
from ray.util.placement_group import get_current_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from launcher.backends.job_queue import QueuedJob
from launcher.backends.ray.node_ranks import NodeRanks, Share

_KILLED = -9


def _gpu_names(context: Any) -> list[str]:
    return [str(name) for name in context.get_accelerator_ids().get("GPU", ())]


class _FirstNode:
    """This process's node."""

    def __init__(self) -> None:
        context = ray.get_runtime_context()
        self.node_id: str = context.get_node_id()
        self.is_gone = False
        self._gpus = _gpu_names(context)
        self._ranks = NodeRanks()

    def start(self, share: Share) -> None:
        self._ranks.start(share, self._gpus)

    def codes(self) -> Sequence[int | None]:
        return self._ranks.codes()

    def stop(self) -> None:
        self._ranks.stop()

    def kill(self) -> None:
        self._ranks.kill()

    def close(self) -> None:
        self._ranks.kill()
        self._ranks.wait()


class _RankActor:
    """The ranks of another node, in a worker of its own there."""

    def __init__(self) -> None:
        self._ranks = NodeRanks()

    def node_id(self) -> str:
        return str(ray.get_runtime_context().get_node_id())

    def start(self, share: Share) -> None:
        self._ranks.start(share, _gpu_names(ray.get_runtime_context()))

    def codes(self) -> list[int | None]:
        return self._ranks.codes()

    def stop(self) -> None:
        self._ranks.stop()

    def kill(self) -> None:
        self._ranks.kill()


class _OtherNode:
    """Asks a `_RankActor`, and never waits for one that may be gone."""

    def __init__(self, actor: Any, node_id: str) -> None:
        self.node_id = node_id
        self._actor = actor
        self._codes: Sequence[int | None] = ()
        self._asked: Any = None
        self.is_gone = False
        """Whether its worker is, with the node or alone."""

    def start(self, share: Share) -> None:
        self._codes = [None] * share.ranks
        ray.get(self._actor.start.remote(share))

    def codes(self) -> Sequence[int | None]:
        if None not in self._codes:
            return self._codes
        if self._asked is None:
            self._asked = self._actor.codes.remote()
        ready, _ = ray.wait([self._asked], timeout=0)
        if ready:
            self._asked = None
            try:
                self._codes = ray.get(ready[0])
            except ray.exceptions.RayActorError:
                self.is_gone = True
                self._codes = [_KILLED if code is None else code for code in self._codes]
        return self._codes

    def stop(self) -> None:
        self._actor.stop.remote()

    def kill(self) -> None:
        self._actor.kill.remote()

    def close(self) -> None:
        ray.kill(self._actor)


@contextlib.contextmanager
def open_nodes(job: QueuedJob) -> Iterator[list[_FirstNode | _OtherNode]]:
    """The nodes of this attempt, the first one being this process's; their ranks end with it."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(contextlib.closing(_FirstNode()))
        nodes: list[_FirstNode | _OtherNode] = [first]
        group = get_current_placement_group()
        actors = [_rank_actor(group, index) for index in range(1, job.nodes)]
        for actor, node_id in zip(
            actors, ray.get([actor.node_id.remote() for actor in actors]), strict=True
        ):
            nodes.append(stack.enter_context(contextlib.closing(_OtherNode(actor, node_id))))
        yield nodes


def _rank_actor(group: Any, index: int) -> Any:
    bundle = group.bundle_specs[index]
    place = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=index)
    return (
        ray.remote(_RankActor)
        .options(
            num_cpus=bundle.get("CPU", 0),
            num_gpus=bundle.get("GPU", 0),
            memory=bundle.get("memory"),
            scheduling_strategy=place,
        )
        .remote()
    )
