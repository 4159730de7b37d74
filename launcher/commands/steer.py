"""Commands that change what becomes of trials."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated

import typer

from launcher.commands.common import (
    begun_by,
    choose,
    confirm,
    note_lost,
    sweep_backend,
    sweep_option,
)
from launcher.commands.completion import complete_cause
from launcher.commands.following import report_start
from launcher.commands.options import Every, SweepOption, Trials, Yes

if TYPE_CHECKING:
    from launcher.holding import Held
    from launcher.sweep_dir import SweepDir

_MOST_NAMED = 10

Causes = Annotated[
    list[str] | None,
    typer.Option(
        "--cause",
        help="Every trial that failed for this cause (`status` shows it); may be given again.",
        autocompletion=complete_cause,
    ),
]


def retry(
    trials: Trials = None,
    *,
    failed: Annotated[bool, typer.Option("--failed", help="Every failed trial.")] = False,
    cause: Causes = None,
    from_scratch: Annotated[
        bool,
        typer.Option("--from-scratch", help="Remove what the named trials have done so far."),
    ] = False,
    yes: Yes = False,
    sweep: SweepOption = None,
) -> None:
    """Start failed or cancelled trials again. They go on from their last checkpoint.

    A pruned trial that is named goes on too, and is not pruned again.
    """
    from launcher.control import forget_progress
    from launcher.control import retry as retry_trials
    from launcher.errors import LaunchError
    from launcher.selection import select_causes
    from launcher.sweep_dir import open_sweep

    sweep_dir = open_sweep(sweep)
    causes = select_causes(cause or [])
    chosen = choose(sweep_dir, trials, failed or bool(causes), "--cause" if causes else "--failed")
    note_lost(sweep_dir)
    backend = sweep_backend(sweep_dir)
    if from_scratch:
        if chosen is None:
            raise LaunchError("--from-scratch removes checkpoints and metrics: name the trials")
        confirm(sweep_dir, chosen, "remove the checkpoints of", yes=yes)
        forget_progress(sweep_dir, backend, chosen)
    outcome = retry_trials(sweep_dir, backend, chosen, causes)
    if outcome.plan.jobs:
        report_start(outcome)
    else:
        typer.echo("nothing to retry: no trial that was asked for is failed, stopped or pruned")


def cancel(
    trials: Trials = None, all_: Every = False, yes: Yes = False, sweep: SweepOption = None
) -> None:
    """Stop trials; they save first. A later `sweep` or `retry` continues them.

    `bench` names the measurement of the models, which --all stops as well.
    """
    from launcher.bench.bench_dir import NAME as BENCH
    from launcher.control import cancel as cancel_trials
    from launcher.control import cancel_bench
    from launcher.sweep_dir import open_sweep

    sweep_dir = open_sweep(sweep)
    benched = BENCH in (trials or ())
    named = [name for name in trials or () if name != BENCH]
    chosen = [] if benched and not named else choose(sweep_dir, named, all_, "--all")
    note_lost(sweep_dir)
    confirm(sweep_dir, chosen, "cancel", yes=yes)
    backend = sweep_backend(sweep_dir)
    stopped = [] if chosen == [] else cancel_trials(sweep_dir, backend, chosen)
    stopped += cancel_bench(sweep_dir, backend) if benched or chosen is None else []
    if not stopped:
        typer.echo("nothing to cancel: no trial that was asked for runs or waits")
        return
    typer.echo(f"cancelled: {_named(stopped)}")
    again = "deit-launch bench" if chosen == [] else "deit-launch retry TRIAL"
    typer.echo(f"to continue: {again}, or the same {begun_by(sweep_dir)} again")


def pause(trials: Trials = None, all_: Every = False, sweep: SweepOption = None) -> None:
    """Let trials wait until `resume`. Those that run save first."""
    from launcher.holding import pause as pause_trials
    from launcher.sweep_dir import open_sweep

    sweep_dir = open_sweep(sweep)
    chosen = choose(sweep_dir, trials, all_, "--all")
    held = pause_trials(sweep_dir, sweep_backend(sweep_dir), chosen)
    if not held.asked and not held.search:
        typer.echo("nothing to pause: no trial that was asked for runs or waits")
        return
    _print_held("paused", held)
    if held.running:
        several = len(held.running) > 1
        words = "these run, and save" if several else "this one runs, and saves"
        typer.echo(f"{words} first: {_named(held.running)}")
    typer.echo(f"to continue: deit-launch resume {_same(chosen, sweep_dir)}")


def resume(trials: Trials = None, all_: Every = False, sweep: SweepOption = None) -> None:
    """Let paused trials run again."""
    from launcher.holding import resume as resume_trials
    from launcher.search.refill import go_on
    from launcher.sweep_dir import open_sweep

    sweep_dir = open_sweep(sweep)
    chosen = choose(sweep_dir, trials, all_, "--all")
    backend = sweep_backend(sweep_dir)
    held = resume_trials(sweep_dir, backend, chosen)
    go_on(sweep_dir, backend)
    if not held.asked and not held.search:
        typer.echo("nothing to resume: no trial that was asked for is paused")
        return
    _print_held("resumed", held)


def throttle(
    most: Annotated[str, typer.Argument(metavar="N", help="Jobs at once, or `none` for no limit.")],
    sweep: SweepOption = None,
) -> None:
    """Let at most N jobs of a sweep run at once. None that runs is stopped."""
    from launcher.errors import LaunchError
    from launcher.holding import throttle as throttle_sweep
    from launcher.search.refill import go_on
    from launcher.sweep_dir import open_sweep
    from launcher.text import count

    if most != "none" and not (most.isascii() and most.isdigit() and int(most) > 0):
        raise LaunchError(f"{most!r} is no number of jobs; give 1 or more, or `none`")
    limit = None if most == "none" else int(most)
    sweep_dir = open_sweep(sweep)
    backend = sweep_backend(sweep_dir)
    throttle_sweep(sweep_dir, backend, limit)
    go_on(sweep_dir, backend)
    if limit is None:
        typer.echo("as many jobs run at once as fit; a later `sweep` keeps this")
    else:
        typer.echo(f"at most {count(limit, 'job')} at once; a later `sweep` keeps this")
        typer.echo(f"to lift it: deit-launch throttle none{sweep_option(sweep_dir)}")


def _print_held(word: str, held: Held) -> None:
    if held.search:
        typer.echo(f"{word}: the search for more points")
    if held.asked:
        typer.echo(f"{word}: {_named(held.asked)}")
    if held.beside:
        typer.echo(f"{word} with them, as they share their jobs: {_named(held.beside)}")


def _named(trial_ids: Collection[str]) -> str:
    from launcher.text import listing

    return listing(trial_ids, most=_MOST_NAMED)


def _same(chosen: list[str] | None, sweep_dir: SweepDir) -> str:
    """What names the same trials in another command."""
    named = "--all" if chosen is None else " ".join(chosen) if len(chosen) <= 3 else "TRIAL…"
    return named + sweep_option(sweep_dir)
