"""The headline against the sentences after it and the tables: they never contradict each other."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import numpy as np
import pytest
from sweep_writer import KindsWriter, SweepWriter

from reports.analysis import Analysis, analyse
from reports.answer import answer
from reports.load import load_sweep
from reports.results import SweepResults
from reports.text import Rounding

KIND, TEMPERATURE = "distill.kind", "distill.temperature"
PATTERN = (-1.0, 0.0, 1.0)
"""Three seeds with a standard deviation of exactly 1."""


def around(centre: float) -> list[float]:
    return [centre + x for x in PATTERN]


def temperatures(writer: SweepWriter, soft: Sequence[float], hard: float) -> SweepResults:
    """None at 80, soft at three temperatures, hard; all with sd 1."""
    writer.variant({KIND: "none", TEMPERATURE: None}, around(80.0))
    for temperature, gain in enumerate(soft, start=1):
        writer.variant({KIND: "soft", TEMPERATURE: float(temperature)}, around(80.0 + gain))
    writer.variant({KIND: "hard", TEMPERATURE: None}, around(80.0 + hard))
    return load_sweep(writer.finish())


def text_of(sweep: SweepResults, analysis: Analysis) -> str:
    return " ".join(answer(sweep, analysis, Rounding(1)))


def test_better_by_dunnett_alone_is_better_in_the_headline(kinds: KindsWriter) -> None:
    # sd 1, df 6, se 0.816: Dunnett's interval of two reaches 2.34, Bonferroni's 2.42
    sweep = load_sweep(kinds(none=around(80.0), soft=around(81.0), hard=around(82.36)))
    text = text_of(sweep, analyse(sweep))
    assert text.startswith("Distillation helps here. Hard distillation is better than no")
    assert "+0.02 to +4.70" in text


def test_a_kind_with_one_setting_keeps_the_interval_of_its_comparison(writer: SweepWriter) -> None:
    # df 10: Bonferroni over two kinds would reach 2.15, Dunnett over four comparisons 2.29
    sweep = temperatures(writer, soft=(0.5, 0.5, 0.5), hard=2.25)
    analysis = analyse(sweep)
    (hard,) = (e for e in analysis.effects if (e.kind, e.against) == ("hard", "none"))
    (row,) = (c for c in analysis.comparisons.values() if c.delta > 2)
    assert (hard.interval, hard.verdict) == (row.interval, row.verdict)
    assert text_of(sweep, analysis).startswith("Whether distillation helps here cannot be told")


def test_one_good_setting_is_not_hidden_by_the_average(writer: SweepWriter) -> None:
    sweep = temperatures(writer, soft=(4.0, -1.0, -1.0), hard=0.0)
    text = text_of(sweep, analyse(sweep))
    assert text.startswith("Distillation helps here in some settings.")
    assert "Taken singly, kind=soft, temperature=1.0 is better than no distillation." in text


def test_one_bad_setting_is_not_hidden_by_the_average(writer: SweepWriter) -> None:
    sweep = temperatures(writer, soft=(0.5, 0.5, -4.0), hard=0.0)
    text = text_of(sweep, analyse(sweep))
    assert text.startswith("Distillation is not shown to help here.")
    assert "Taken singly, no distillation is better than kind=soft, temperature=3.0." in text


def drawn(sweep: SweepResults, rng: np.random.Generator) -> SweepResults:
    """The sweep with other accuracies: differences near the edge of what can be told."""
    gains = {t.planned.group_id: rng.normal(0, 2.5) for t in sweep.students}
    trials = []
    for trial in sweep.trials:
        assert trial.summary is not None
        top1 = 80 + gains[trial.planned.group_id] + rng.normal()
        summary = trial.summary.model_copy(update={"val_top1": top1})
        trials.append(dataclasses.replace(trial, summary=summary))
    return dataclasses.replace(sweep, trials=tuple(trials))


@pytest.mark.parametrize("settings", [1, 3])
def test_the_headline_says_what_the_sentences_and_the_table_say(
    writer: SweepWriter, settings: int
) -> None:
    sweep = temperatures(writer, soft=(0.0,) * settings, hard=0.0)
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(150):
        sample = drawn(sweep, rng)
        analysis = analyse(sample)
        text = text_of(sample, analysis)
        headline = re.split(r"(?<=\.) ", text)[0]
        seen.add(headline)
        arm_better = re.search(r"(Hard|Soft) distillation is better than no distillation", text)
        arm_beaten = re.findall(r"No distillation is better than (hard|soft) distillation", text)
        in_table = {c.verdict for c in analysis.comparisons.values()}
        assert (headline == "Distillation helps here.") == bool(arm_better)
        assert ("helps here" in headline and "Whether" not in headline) >= ("better" in in_table)
        if headline == "Distillation does not help here.":
            assert len(arm_beaten) == 2
        if headline.startswith("Whether"):
            assert "better than no distillation" not in text
            assert "o distillation is better" not in text
            assert in_table == {"not distinguishable"}
    assert len(seen) == 4 + (settings > 1)
