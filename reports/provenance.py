"""Where the numbers come from: sweep, code, versions, machines, time. Pure."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterable
from urllib.parse import unquote

from reports.results import SweepResults
from reports.text import duration, listing, utc


def provenance(sweep: SweepResults) -> tuple[tuple[str, str], ...]:
    """Named facts, in reading order; those that are not known are left out."""
    plan = sweep.plan
    rows = [
        ("sweep", plan.sweep),
        ("description", plan.description),
        ("sweep file", plan.source),
        ("sweep hash", plan.sweep_hash),
        ("planned", plan.created_utc),
        ("command", plan.command),
        ("curves in TensorBoard", _tensorboard(sweep)),
        *_imported(sweep),
        ("planner's notes", " ".join(f"{note.rstrip('.')}." for note in plan.notes)),
        *_environment(sweep),
        *_training(sweep),
    ]
    return tuple((name, " ".join(text.split())) for name, text in rows if text)


def _imported(sweep: SweepResults) -> list[tuple[str, str]]:
    """Runs of other programs: which, from where, and what the user said of them."""
    records = [trial.imported for trial in sweep.trials if trial.imported]
    if not records:
        return []
    programs = sorted({record.program for record in records})
    stated = sorted({name for record in records for name in record.stated})
    return [
        ("imported", f"{len(records)} runs of {listing(programs)}"),
        ("imported from", listing(sorted({record.source for record in records}))),
        ("taken for top-1", listing(sorted({record.metric for record in records}))),
        ("stated at import", listing(stated)),
    ]


def _tensorboard(sweep: SweepResults) -> str:
    """The command that shows the sweep's curves; nothing where no event files were asked for."""
    if not any(trial.config and trial.config.logging.tensorboard for trial in sweep.trials):
        return ""
    folder = posixpath.normpath(posixpath.join(unquote(sweep.links), "../tensorboard"))
    return (
        f"tensorboard --logdir {shlex.quote(folder)} in the folder of this report, or "
        f"deit-launch tensorboard with the sweep's folder, {sweep.folder}"
    )


def _environment(sweep: SweepResults) -> list[tuple[str, str]]:
    envs = [trial.env for trial in sweep.trials if trial.env]
    libraries = sorted({name for env in envs for name in env.versions})
    versions = [f"{name} {_distinct(env.versions.get(name) for env in envs)}" for name in libraries]
    commits = (
        env.git_sha + (" with uncommitted changes" if env.git_dirty else "")
        for env in envs
        if env.git_sha
    )
    return [
        ("git commit", _distinct(commits)),
        ("device", _distinct(env.device_name or env.device for env in envs)),
        ("threads per process", _distinct(str(env.threads) for env in envs)),
        ("host", _distinct(env.hostname for env in envs)),
        ("platform", _distinct(env.platform for env in envs)),
        ("python", _distinct(env.python for env in envs)),
        ("libraries", ", ".join(versions)),
    ]


def _training(sweep: SweepResults) -> list[tuple[str, str]]:
    trials = [trial for trial in sweep.trials if trial.result]
    summaries = [trial.summary for trial in trials if trial.summary]
    started = [t.status.started_unix_s for t in trials if t.status and t.status.started_unix_s]
    if not summaries:
        return []
    span = utc(max(summary.finished_unix_s for summary in summaries))
    if started:
        span = f"{utc(min(started))} to {span}"
    seconds = sorted(summary.train_s for summary in summaries)
    wall = duration(seconds[0])
    if duration(seconds[-1]) != wall:
        wall += f" to {duration(seconds[-1])}"
    cohorts = sorted({summary.cohort_size for summary in summaries})
    rows = [("trained", span), ("training time per trial", wall)]
    if cohorts != [1]:
        sizes = listing([str(size) for size in cohorts])
        note = "trials of a cohort train side by side in one job, so these times are no throughput"
        rows.append(("cohort sizes", f"{sizes}; {note}"))
    return rows


def _distinct(values: Iterable[str | None]) -> str:
    return listing(sorted({value for value in values if value}))
