"""The driver: attaches to a Ray cluster and lets Tune run the jobs of a queue.

`python -m launcher.backends.ray.driver QUEUE LOCK`, LOCK being its hold on the queue's runner.lock.
It is started on demand, detached from every shell, and leaves when the queue is empty. Ray ends
what it runs with it; the next one goes on from the trials' own checkpoints.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from launcher.backends.job_queue import JobQueue
from launcher.backends.queue_mover import leave, log_line, take_over
from launcher.backends.ray.cluster import (
    LOCAL,
    ClusterRecord,
    auth_environment,
    forget_unjoined,
    note_unjoined,
    read_cluster,
    require_listener,
)
from launcher.backends.ray.mover import MOST_WAITING, RayMover
from launcher.errors import LaunchError

_QUIET = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_MAX_PENDING_TRIALS_PG": str(MOST_WAITING),
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "1000000000",
}
"""Tune keeps nothing of what happens (the run directories do), and is not asked to print it."""


def attach(cluster: ClusterRecord) -> None:
    """Join the cluster, or start one on this machine that ends with this process.

    Raises:
        LaunchError: nothing answers at its address.
        OSError, RuntimeError, ValueError, RayError: Ray's own, where it cannot be joined.
    """
    import ray

    if cluster.address is None:
        ray.init(
            address="local",
            num_cpus=cluster.cpus,
            num_gpus=cluster.gpus,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
        )
    else:
        require_listener(cluster.address)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")


def joins(queue: JobQueue, cluster: ClusterRecord) -> bool:
    """Join the cluster; where that fails, leave word why, in the queue and in its log."""
    from ray.exceptions import RayError

    try:
        attach(cluster)
    except (LaunchError, OSError, RuntimeError, ValueError, RayError) as error:
        where = f"the Ray cluster at {cluster.address}" if cluster.address else "a cluster here"
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        why = f"the driver cannot join {where}: {said}"
        log_line(why)
        note_unjoined(queue, why)
        return False
    forget_unjoined(queue)
    return True


def run(queue: JobQueue, runner_lock: int) -> None:
    """Serve the queue until nothing in it can move."""
    take_over(runner_lock)
    cluster = read_cluster(queue)
    os.environ.update(_QUIET | auth_environment(os.environ))
    if not joins(queue, cluster):
        # What an earlier driver ran has ended with it, and what was cancelled needs no cluster.
        RayMover(queue, nodes=list, log=log_line).catch_up()
        return
    import ray

    from launcher.backends.ray.tuning import tune_jobs

    mover = RayMover(queue, nodes=ray.nodes, log=log_line)
    mover.refills.options = ("--ray-address", cluster.address or LOCAL)
    storage = queue.path / "tune"
    shutil.rmtree(storage, ignore_errors=True)
    tune_jobs(mover, lambda: leave(mover, runner_lock), storage)


if __name__ == "__main__":
    run(JobQueue(Path(sys.argv[1])), int(sys.argv[2]))
