"""Ordering measurements: records are copied, bench directories made, their jobs submitted.

As with trials, the intent (job/job.json with a tag) is written before a job is submitted and its id
after, so a call may be killed anywhere and called again.
"""

from __future__ import annotations

import time
import uuid

from deit_core.run_dir import RunDir
from deit_core.throughput_records import BenchRecord
from launcher.adapt import memory_factor, with_memory
from launcher.backends.base import Backend, Job
from launcher.bench.bench_dir import create_bench, look_at_benches
from launcher.bench.plan import BenchPlan
from launcher.carry_out import adopt, clear_failure, record_job
from launcher.observe import TrialJob
from launcher.repair import surviving_status
from launcher.siblings import attempts_beside, bad_nodes
from launcher.snapshot import take_snapshot
from launcher.sweep_dir import SweepDir
from launcher.sync import sync_file_system


def order_bench(sweep_dir: SweepDir, plan: BenchPlan, backend: Backend) -> list[RunDir]:
    """Carry a plan out; the runs folder's lock is held.

    Returns:
        The bench directories whose jobs were submitted.

    Raises:
        UserError: files that cannot be written, a scheduler that refuses or does not answer.
    """
    adopt((order.seen for order in look_at_benches(sweep_dir, backend)), backend)
    if plan.later:
        return []
    for record, path in plan.missing.to_copy:
        RunDir(path).write_throughput(record)
    if not plan.submits:
        return []
    runs = [order.run for order in plan.open_orders]
    if plan.models:
        targets = tuple(model.target() for model in plan.models)
        order = BenchRecord(protocol=plan.protocol, targets=targets)
        runs.append(create_bench(sweep_dir, order))
    for run in runs:
        submit_order(sweep_dir, run, plan, backend)
    return runs


def submit_order(sweep_dir: SweepDir, run: RunDir, plan: BenchPlan, backend: Backend) -> None:
    """Submit the job of one order; the runs folder's lock is held.

    Args:
        sweep_dir: the sweep.
        run: the bench directory.
        plan: says what the job asks for and waits for.
        backend: where it runs.

    Raises:
        UserError: see `order_bench`.
    """
    code = take_snapshot(sweep_dir.runs)
    clear_failure(run, surviving_status(run))
    intent = TrialJob(
        tag=uuid.uuid4().hex[:12],
        backend=backend.name,
        run_dirs=(str(run.path),),
        submitted_unix_s=time.time(),
    )
    record_job(intent)
    sync_file_system(sweep_dir.path)
    beside = attempts_beside(run.path)
    factor = memory_factor(intent.run_dirs)
    job = Job(
        tag=intent.tag,
        run_dirs=(run.path,),
        after_any=plan.waits_for,
        cpus=plan.size.cpus,
        gpus=plan.size.gpus,
        resources=with_memory(plan.resources, factor, beside),
        avoid=tuple(sorted(bad_nodes(beside))),
        mem_factor=factor,
        code=code,
        group=sweep_dir.path.name,
        max_parallel=plan.resources.max_parallel,
    )
    ids = backend.submit([job])
    record_job(intent.model_copy(update={"job_id": ids[intent.tag]}))
    sync_file_system(sweep_dir.path)
