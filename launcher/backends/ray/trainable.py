"""The function that Ray Tune runs: an attempt of a job. Imported by Ray's workers and drivers."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray import tune

from deit_core.errors import DeitError
from deit_core.run_dir import RunDir
from launcher.attempts import Start, note_start
from launcher.backends.job_queue import JobQueue, QueuedJob
from launcher.backends.ray.attempt import AttemptNews, run_ranks, shares
from launcher.backends.ray.curves import Curves
from launcher.backends.ray.names import node_names
from launcher.backends.ray.nodes import open_nodes
from launcher.rendezvous import Rendezvous

NEWS = "news"
"""The key under which an attempt reports to its driver."""
PRUNED = "pruned"


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
    _report(news, {PRUNED: _are_pruned(run_dirs)})


def _are_pruned(run_dirs: Sequence[str]) -> bool:
    """Whether all trials have left to their pruner; not where that cannot be read."""
    try:
        return all(RunDir(path).read_status().state == "pruned" for path in run_dirs)
    except DeitError:
        return False  # an exception would pass for a lost worker


def _train(queue: JobQueue, job: QueuedJob, run_dirs: tuple[str, ...]) -> AttemptNews:
    def told() -> bool:
        return any((folder / job.tag).exists() for folder in (queue.cancels, queue.holds))

    if told() or not queue.has(job.tag):
        return AttemptNews(ended=True)
    with contextlib.ExitStack() as stack:
        nodes = stack.enter_context(open_nodes(job))
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
        bereft = any(node.is_gone for node in nodes)
        return begun.model_copy(update={"ended": True, "exit_code": code, "bereft": bereft})


def _report(news: AttemptNews, values: Mapping[str, Any] | None = None) -> None:
    tune.report({**(values or {}), NEWS: news.model_dump_json()})


def _report_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        tune.report(row)
