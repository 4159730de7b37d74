"""One pass over val for all runs and their teachers together.

Shape suffixes: B batch, N images of val, M decision makers.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from deit_core.analyse.decide import Ballot, Voter
from deit_core.analyse.disagreement import disagreement_matrix
from deit_core.analyse.panel import Member, Panel, build_panels
from deit_core.analyse.select import common_val
from deit_core.config import TrainConfig
from deit_core.data.loader import EvalLoader
from deit_core.data.sources import open_source
from deit_core.errors import AnalysisError
from deit_core.finished import FinishedRun
from deit_core.records import AnalysisRecord, DecisionMakerRecord, Weights, finite
from deit_core.train.env import set_threads

GROUND_TRUTH = "ground truth"


@dataclass(frozen=True)
class Options:
    """How to look at the runs."""

    weights: Weights = "last"
    images: int | None = None
    """Only so many images of val, balanced over the classes; null: those of the runs."""
    batch_size: int | None = None
    """Null: the first run's `eval.batch_size`."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = None
    """CPU threads; null: the cores granted to this process."""


@dataclass(frozen=True)
class Analysis:
    """What one invocation found."""

    decision_makers: tuple[str, ...]
    disagreement: tuple[tuple[float, ...], ...]
    """Share (0-1) of the images on which two decision makers differ, in their order."""
    records: tuple[AnalysisRecord, ...]
    """One for each run, in order."""


@dataclass
class _Votes:
    """What was counted on val."""

    labels: list[Tensor] = field(default_factory=list)
    ballots: dict[str, Ballot] = field(default_factory=dict)
    unreadable: int = 0


def analyse(runs: Sequence[FinishedRun], options: Options | None = None) -> Analysis:
    """Compare runs, their teachers and the ground truth on the runs' common val set.

    Images are decoded once for all runs of equal image size, crop and normalisation. Every model
    answers in the precision it was trained in.

    Raises:
        AnalysisError: the runs were evaluated on different images or classes.
        UserError: weights or data are missing or damaged, or there is no such device.
    """
    options = options or Options()
    data = common_val(runs, options.images)
    device = _device(options.device)
    set_threads(TrainConfig(threads=options.threads))
    panels = build_panels(runs, data, options.weights, device)
    counted = [_count(panel, options, device) for panel in panels]
    labels_N = torch.cat(counted[0].labels)
    for votes in counted[1:]:
        if not torch.equal(torch.cat(votes.labels), labels_N):
            raise AnalysisError("val changed while it was read; let nothing write to it, try again")
    ballots = {name: ballot for votes in counted for name, ballot in votes.ballots.items()}
    decisions_MN = torch.stack([labels_N, *(ballot.decisions() for ballot in ballots.values())])
    names = (GROUND_TRUTH, *ballots)
    matrix = disagreement_matrix(decisions_MN).tolist()
    described = {
        name: _described(name, ballots[name], dict(zip(names, rates, strict=True)))
        for name, rates in zip(names, matrix, strict=True)
        if name in ballots
    }
    by_path = {
        member.finished.run.path: _record(member, described, names, counted[0], options.weights)
        for panel in panels
        for member in panel.members
    }
    return Analysis(names, tuple(map(tuple, matrix)), tuple(by_path[r.run.path] for r in runs))


def _device(name: str) -> torch.device:
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise AnalysisError("device 'cuda' is given, but torch sees no GPU; use auto or cpu")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


@torch.no_grad()
def _count(panel: Panel, options: Options, device: torch.device) -> _Votes:
    """One pass over val."""
    config = panel.config
    if options.batch_size is not None:
        updates = {"batch_size": options.batch_size}
        config = config.model_copy(update={"eval": config.eval.model_copy(update=updates)})
    assert config.model.in_chans is not None
    source = open_source(config.data, in_chans=config.model.in_chans, split="val")
    votes = _Votes()
    with contextlib.ExitStack() as hooks:
        for member in panel.members:
            if member.tokens is not None:
                hooks.enter_context(member.tokens.watching())
        voters: list[Voter] = [
            *panel.teachers.values(),
            *(member.voter for member in panel.members),
        ]
        for batch in EvalLoader(source, config, device=device):
            votes.unreadable += len(batch.unreadable)
            if not len(batch.labels):
                continue
            votes.labels.append(batch.labels.cpu())
            for voter in voters:
                for name, logits in voter.logits(batch.images).items():
                    ballot = votes.ballots.setdefault(name, Ballot(device))
                    ballot.add(logits, batch.labels)
    return votes


def _described(name: str, ballot: Ballot, rates: dict[str, float]) -> DecisionMakerRecord:
    accuracy = ballot.accuracy()
    return DecisionMakerRecord(
        name=name,
        top1=accuracy["top1"],
        top5=accuracy["top5"],
        loss=finite(accuracy["loss"]),
        disagreement={other: rate for other, rate in rates.items() if other != name},
    )


def _record(
    member: Member,
    described: dict[str, DecisionMakerRecord],
    names: tuple[str, ...],
    votes: _Votes,
    weights: Weights,
) -> AnalysisRecord:
    finished, tokens = member.finished, member.tokens
    return AnalysisRecord(
        trial_id=finished.trial.trial_id,
        name=finished.trial.name,
        weights=weights,
        images=sum(map(len, votes.labels)),
        unreadable_images=votes.unreadable,
        decision_makers=names,
        heads={head: described[name] for head, name in member.voter.names.items()},
        teacher=described[member.teacher] if member.teacher is not None else None,
        teacher_missing=member.teacher_missing,
        token_cosine=tokens.result() if tokens is not None else None,
        token_cosine_missing=None
        if tokens is not None
        else f"{finished.config.model.name} has no distillation token",
        finished_unix_s=time.time(),
    )
