"""What a test may ask of its cluster."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClusterOptions:
    """A cluster's size and policies; the defaults suit most tests."""

    nodes: int = 4
    gpus_per_node: int = 2
    """Pretended ones: files that jobs see in `CUDA_VISIBLE_DEVICES`; 0 for none."""
    cpus_per_node: int = 4
    """May exceed the cores of this machine."""
    memory_mib: int = 16_000
    """Of each node; jobs are measured against it, nothing is reserved."""
    accounting: bool = True
    """With a database: `sacct`, accounts, QOS and their limits."""
    preempt_send_user_signal: bool = False
    """A preempted job's own `--signal` is sent at the start of its grace time."""
    grace_time_s: int = 10
    """Between a preempted job's SIGTERM and its end, in the partition `gpu`."""
    kill_wait_s: int = 5
    """Between SIGTERM and SIGKILL of a job that ends."""
    max_array_size: int = 1001
    """Indices of an array are below it."""
    export_none: bool = False
    """Jobs get a bare environment, as on sites that set `SLURM_EXPORT_ENV=NONE`."""
    extra: tuple[str, ...] = ()
    """Further lines of slurm.conf."""

    @property
    def node_names(self) -> tuple[str, ...]:
        return tuple(f"node{index}" for index in range(1, self.nodes + 1))
