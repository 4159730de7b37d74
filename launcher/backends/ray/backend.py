"""The Ray backend: a queue in `<runs>/.ray/` and a detached driver that lets Ray Tune run it.

Nothing here joins the cluster: commands read and write the queue's files, and ask the cluster what
it has where that is needed to plan.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from launcher.backends.base import Capacity, Check, Job, JobReport
from launcher.backends.queue_backend import QueueBackend
from launcher.backends.ray import cluster
from launcher.backends.ray.cluster import ClusterRecord, ClusterView, RayNode
from launcher.backends.slots import granted_slots
from launcher.errors import LaunchError
from launcher.locks import locked
from launcher.resources import Resources
from launcher.text import count


class RayBackend(QueueBackend):
    """Runs jobs on a Ray cluster.

    Args:
        runs: the folder of all sweeps.
        address: of the cluster; None: `$RAY_ADDRESS`, else the one on this machine.
        command: the trainer.
    """

    name = "ray"
    runner_module = "launcher.backends.ray.driver"

    def __init__(
        self, runs: Path, address: str | None = None, *, command: Sequence[str] | None = None
    ) -> None:
        super().__init__(runs.resolve() / ".ray", command)
        self._given = address

    @functools.cached_property
    def view(self) -> ClusterView:
        """What the cluster has now; of this machine where there is no cluster yet.

        Raises:
            LaunchError: Ray is not installed, or the cluster cannot be asked.
        """
        view = cluster.look(self._address())
        if view.address is not None:
            return view
        slots = granted_slots()
        node = RayNode(name="here", cpus=slots.cpus, gpus=len(slots.gpus), here=True)
        return view.model_copy(update={"nodes": (node,)})

    def _address(self) -> str | None:
        """The cluster to ask: what is given, else what the queue had last, else what is here.

        Raises:
            LaunchError: it is no address.
        """
        wanted = cluster.wanted_address(self._given, os.environ)
        latest = None if wanted else cluster.latest_cluster(self.queue)
        if latest is None:
            return None if wanted == cluster.AUTO else wanted
        if latest.address is None and self.queue.tags():
            return cluster.LOCAL
        return latest.address

    def _record(self) -> ClusterRecord:
        view = self.view
        if view.address is not None:
            return ClusterRecord(address=view.address)
        node = view.nodes[0].capacity
        return ClusterRecord(cpus=node.cpus, gpus=node.gpus)

    def submit(self, jobs: Sequence[Job]) -> dict[str, str]:
        """Queue jobs and see that a driver serves the queue.

        Raises:
            LaunchError: the cluster cannot be asked, or the queue serves another one.
            RunDirError: the queue cannot be written.
        """
        if jobs:
            self._refuse_other_cluster()
            with locked(self.queue.queue_lock):
                cluster.write_cluster(self.queue, self._record())
        return super().submit(jobs)

    def _refuse_other_cluster(self) -> None:
        serving, wanted = cluster.latest_cluster(self.queue), self._record()
        if serving is None or serving.address == wanted.address or not self.queue.tags():
            return
        if not self.runner_is_alive():  # nothing runs: what is left goes on in the other cluster
            return
        left = count(len(self.queue.tags()), "job")
        raise LaunchError(
            f"{left} of this runs folder {'is' if left == '1 job' else 'are'} on the Ray cluster "
            f"at {_at(serving)}, and one queue serves one cluster: give --ray-address "
            f"{serving.address or cluster.LOCAL}, wait, or use another --runs-dir"
        )

    def check(self, resources: Resources) -> Sequence[str]:
        """Refuse what has no place in the cluster as it is now.

        Raises:
            LaunchError: says what is asked for and what there is.
        """
        view = self.view
        self._refuse_other_cluster()
        if view.address is not None and not any(node.here for node in view.nodes):
            raise LaunchError(
                f"this machine is no node of the Ray cluster at {view.address}, and its driver "
                f"has to run on one; call this there, or `ray start --address={view.address} "
                f"--num-cpus=0` here first"
            )
        fitting = [node for node in view.nodes if _fits(node, resources)]
        if len(fitting) >= resources.nodes:
            return ()
        raise LaunchError(
            f"a job asks for {_asked(resources)}; the Ray cluster at {_at(self._record())} has "
            f"{count(len(fitting), 'such node')} of {len(view.nodes)} ({_largest(view)}); lower "
            f"`resources` in the sweep file or with --set resources.nodes={max(1, len(fitting))}"
        )

    def node(self, resources: Resources) -> Capacity | None:
        """The node with most GPUs, then most cores.

        Raises:
            LaunchError: the cluster cannot be asked.
        """
        sizes = [node.capacity for node in self.view.nodes]
        return max(sizes, key=lambda one: (one.gpus, one.cpus), default=None)

    def capacity(self) -> None:
        """Only Ray knows: others use the cluster too."""

    def checks(self, resources: Resources, *, submit: bool = False) -> list[Check]:
        """Ray's version, the cluster, its nodes, and whether the queue is served."""
        try:
            view = self.view
        except LaunchError as error:
            return [Check("ray", False, str(error))]
        alive = view.address is None or bool(view.nodes)
        found = [Check("ray cluster", alive, self._described(view))]
        found += [_seen(node) for node in view.nodes]
        try:
            self.check(resources)
        except LaunchError as error:
            found.append(Check("ray place", False, str(error)))
        unjoined = cluster.why_unjoined(self.queue) if self.queue.tags() else None
        if unjoined is not None:
            found.append(Check("ray driver", False, unjoined))
        return [*found, self.queue_check()]

    def _report(self, tag: str, held: Collection[str]) -> JobReport:
        """A job that waits while no driver can join the cluster waits for that first of all."""
        report = super()._report(tag, held)
        unjoined = cluster.why_unjoined(self.queue) if report.state == "queued" else None
        return report if unjoined is None else replace(report, detail=unjoined)

    def _described(self, view: ClusterView) -> str:
        if view.address is None:
            return "none on this machine; the driver starts one of its own while there are jobs"
        auth = cluster.auth_environment(os.environ) or os.environ.get("RAY_AUTH_MODE") == "token"
        return (
            f"{view.address}, Ray {view.ray_version}, {count(len(view.nodes), 'node')}, "
            f"{'a token is sent' if auth else 'no token is sent'}"
        )


def _fits(node: RayNode, resources: Resources) -> bool:
    asked = _per_node(resources)
    return (
        node.cpus >= asked.cpus
        and node.gpus >= asked.gpus
        and node.memory_gb >= (resources.mem_gb or 0.0)
    )


def _per_node(resources: Resources) -> Capacity:
    gpus = resources.gpus_per_node or 0
    least = resources.processes_per_node
    cores = (resources.cpus_per_gpu or 1) * gpus if gpus else resources.cpus_per_trial
    return Capacity(max(1, -(-max(least, cores) // (1 if gpus else resources.nodes))), gpus)


def _asked(resources: Resources) -> str:
    each = _per_node(resources)
    memory = "" if resources.mem_gb is None else f", {resources.mem_gb:g} GB"
    gpus = f", {count(each.gpus, 'GPU')}" if each.gpus else ""
    return f"{count(resources.nodes, 'node')} with {count(each.cpus, 'core')}{gpus}{memory} each"


def _largest(view: ClusterView) -> str:
    if not view.nodes:
        return "no node lives"
    best = max(view.nodes, key=lambda one: (one.gpus, one.cpus))
    return f"the largest has {best.cpus:g} cores, {best.gpus:g} GPUs, {best.memory_gb:.0f} GB"


def _seen(node: RayNode) -> Check:
    here = ", this machine" if node.here else ""
    size = f"{node.cpus:g} cores, {node.gpus:g} GPUs, {node.memory_gb:.0f} GB"
    return Check(f"ray node {node.name}", True, f"{size}{here}")


def _at(record: ClusterRecord) -> str:
    return record.address or "this machine"
