"""A cluster to play with: `make slurm`. Ctrl-C ends it and everything that runs on it."""

from __future__ import annotations

import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from slurm_cluster.cluster import SlurmCluster
from slurm_cluster.fixtures import why_not
from slurm_cluster.options import ClusterOptions

HELP = """\
{nodes} nodes with {gpus} pretended GPUs each are up. In another terminal:

    export SLURM_CONF={slurm_conf}
    sinfo
    deit-launch sweep sweeps/quickstart.yaml --partition gpu
    scontrol requeue JOB; kill -9 {slurmd}    # try what it survives: slurmd of node1

Partitions: gpu (preempted: requeued), cancelled (preempted: cancelled), short (2 minutes),
urgent (preempts the others). Account vision; QOS normal, limited (20 jobs). Logs: {logs}
Ctrl-C ends the cluster and all its jobs.
"""


def main() -> int:
    """Start a cluster, say how to use it, and stay until Ctrl-C or SIGTERM."""
    if reason := why_not():
        print(f"error: {reason}", file=sys.stderr)  # noqa: T201
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        suppress(KeyboardInterrupt),
        tempfile.TemporaryDirectory(prefix="slurm-") as folder,
        SlurmCluster(Path(folder), ClusterOptions()) as cluster,
    ):
        print(help_of(cluster), flush=True)  # noqa: T201
        signal.pause()
    return 0


def help_of(cluster: SlurmCluster) -> str:
    """What to type to use a cluster that runs."""
    return HELP.format(
        nodes=cluster.options.nodes,
        gpus=cluster.options.gpus_per_node,
        slurm_conf=cluster.layout.slurm_conf,
        slurmd=cluster.pids()["slurmd-node1"],
        logs=cluster.layout.logs,
    )


if __name__ == "__main__":
    sys.exit(main())
