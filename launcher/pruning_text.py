"""What pruning has done to a sweep, as lines for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from launcher.pruning_report import PruningReport, RungSummary
from launcher.text import count


def report_lines(report: PruningReport) -> list[str]:
    """The report as lines, without rank agreement where only survivors were trained to the end."""
    advice = report.mode == "advice"
    better = "more" if report.direction == "maximize" else "less"
    lines = [f"{report.sweep}: pruned by {report.metric} ({better} is better)"]
    if advice:
        lines[0] = f"{report.sweep}: advice on pruning by {report.metric} ({better} is better)"
    lines += _table(report.rungs, advice=advice)
    saved = report.epochs_scheduled - report.epochs_with_pruning
    share = 100 * saved / report.epochs_scheduled if report.epochs_scheduled else 0.0
    lines.append(
        f"{report.left} of {count(report.trials, 'trial')} that began "
        f"{'would have left' if advice else 'left'} early: "
        f"{report.epochs_with_pruning:,.1f} epochs instead of {report.epochs_scheduled:,.1f} "
        f"({share:.0f} % fewer); {report.epochs_run:,.1f} were run so far"
    )
    return [*lines, *_best_lines(report)] if advice else lines


def _table(rungs: Sequence[RungSummary], *, advice: bool) -> list[str]:
    columns: dict[str, Callable[[RungSummary], str]] = {
        "bracket": lambda rung: str(rung.bracket),
        "rung": lambda rung: f"{100 * rung.rung:.3g} %",
        "reached": lambda rung: str(rung.reached),
        "would leave" if advice else "left": lambda rung: str(rung.left),
        "needed": lambda rung: "-" if rung.cutoff is None else f"{rung.cutoff:.4g}",
    }
    if not any(rung.bracket for rung in rungs):
        del columns["bracket"]
    if advice:
        columns["Kendall tau"] = lambda rung: (
            "-" if rung.kendall_tau is None else f"{rung.kendall_tau:.2f} (n={rung.n})"
        )
    rows = [tuple(columns), *(tuple(cell(rung) for cell in columns.values()) for rung in rungs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(columns))]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _best_lines(report: PruningReport) -> list[str]:
    if report.best is None or report.best_value is None:
        return ["no trial is completed yet, so nothing is known of the best one"]
    best = f"the best trial, {report.best} ({report.best_value:.4g}), would"
    if report.best_kept:
        return [f"{best} have been kept"]
    if report.best_of_kept is None:
        return [f"{best} have been pruned, and no trial that would have been kept is completed"]
    return [
        f"{best} have been pruned; of those kept the best is {report.best_of_kept}, "
        f"{report.regret:.4g} worse"
    ]
