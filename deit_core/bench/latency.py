"""One image at a time: seconds of single calls, in turn for all models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from deit_core.bench.rounds import Pace, noting
from deit_core.bench.stage import Stage
from deit_core.bench.watch import Watch
from deit_core.bench.work import Work


@dataclass(eq=False)
class Calls:
    """Calls of one model at batch size 1."""

    work: Work
    seconds: list[float] = field(default_factory=list)
    error: Exception | None = None


def time_calls_in_turn(
    models: Sequence[Calls], calls: int, pace: Pace, stage: Stage, watch: Watch
) -> None:
    """Time so many calls of each model, the device idle before and after each call.

    They come in as many parts as there are blocks, A B C A B C. Before its first part a model runs
    until warm-up time and count are reached, before each later one as many iterations.

    Raises:
        StoppedError: a stop is requested.
    """
    part = math.ceil(calls / pace.blocks)
    for turn in range(pace.blocks):
        for model in models:
            if model.error is None:
                wanted = min(part, calls - len(model.seconds))
                pace_now = pace if turn == 0 else replace(pace, warmup_s=0.0)
                with noting(model, stage):
                    _time_part(model, wanted, pace_now, stage, watch)


def _time_part(model: Calls, calls: int, pace: Pace, stage: Stage, watch: Watch) -> None:
    watch.tick()
    clock = stage.enter(model.work, 1)
    start, count = clock.now_s(), 0
    while count < pace.warmup_iterations or clock.now_s() - start < pace.warmup_s:
        watch.tick()
        model.work.step()
        clock.synchronise()
        count += 1
    for _ in range(calls):
        clock.synchronise()
        began = clock.now_s()
        model.work.step()
        clock.synchronise()
        model.seconds.append(clock.now_s() - began)
