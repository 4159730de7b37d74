"""The function that Ray Tune runs: an attempt of a job. Imported by Ray's workers and drivers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.util.placement_group import get_current_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from deit_core.errors import DeitError
from deit_core.run_dir import RunDir
from launcher.attempts import Start, note_start
from launcher.backends.job_queue import JobQueue, QueuedJob
from launcher.backends.ray.attempt import AttemptNews, run_ranks, shares
from launcher.backends.ray.curves import Curves
from launcher.backends.ray.names import node_names
from launcher.backends.ray.node_ranks import NodeRanks, Share
from launcher.rendezvous import Rendezvous

NEWS = "news"
"""The key under which an attempt reports to its driver."""
PRUNED = "pruned"
_KILLED = -9


def train_attempt(config: Mapping[str, Any]) -> None:
    """Train the trials of one attempt to their end, or until somebody wants it to stop.

    Args:
        config: `queue` (its folder), `tag` (the job) and `run_dirs`; `bundles` is Ray's to read.
    """
    queue, run_dirs = JobQueue(Path(config["queue"])), tuple(config["run_dirs"])
    try:
        job = queue.read(config["tag"])
        news = _train(queue, job, run_dirs)
    except (DeitError, OSError) as error:
        news = AttemptNews(ended=True, exit_code=127, complaint=str(error))
    pruned = all(RunDir(path).read_status().state == "pruned" for path in run_dirs)
    _report(news, {PRUNED: pruned})


def _train(queue: JobQueue, job: QueuedJob, run_dirs: tuple[str, ...]) -> AttemptNews:
    def told() -> bool:
        return any((folder / job.tag).exists() for folder in (queue.cancels, queue.holds))

    if told() or not queue.has(job.tag):
        return AttemptNews(ended=True)
    with contextlib.ExitStack() as stack:
        nodes = stack.enter_context(_nodes(job))
        rendezvous = None
        if job.processes > 1:
            here = (ray.util.get_node_ip_address(),)
            rendezvous = stack.enter_context(Rendezvous(job.processes, here))
        ids = [node.node_id for node in nodes]
        named = node_names(ray.nodes())
        names = tuple(dict.fromkeys(named[one] for one in ids))
        begun = AttemptNews(nodes=names, node_ids=tuple(ids), started=True)
        _report(begun)
        curves = Curves(run_dirs)
        note_start(run_dirs, Start(job.tag, "ray", job.tag, names, job.processes))
        for node, share in zip(nodes, shares(queue, job, run_dirs, rendezvous), strict=True):
            node.start(share)
        code = run_ranks(nodes, told, lambda: _report_rows(curves.fresh()))
        _report_rows(curves.fresh(now=True))
        return begun.model_copy(update={"ended": True, "exit_code": code})


def _report(news: AttemptNews, values: Mapping[str, Any] | None = None) -> None:
    tune.report({**(values or {}), NEWS: news.model_dump_json()})


def _report_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        tune.report(row)


class _FirstNode:
    """This process's node."""

    def __init__(self) -> None:
        context = ray.get_runtime_context()
        self.node_id: str = context.get_node_id()
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
            except ray.exceptions.RayActorError:  # with its node, or killed
                self._codes = [_KILLED if code is None else code for code in self._codes]
        return self._codes

    def stop(self) -> None:
        self._actor.stop.remote()

    def kill(self) -> None:
        self._actor.kill.remote()

    def close(self) -> None:
        ray.kill(self._actor)


@contextlib.contextmanager
def _nodes(job: QueuedJob) -> Iterator[list[_FirstNode | _OtherNode]]:
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


def _gpu_names(context: Any) -> list[str]:
    return [str(name) for name in context.get_accelerator_ids().get("GPU", ())]
