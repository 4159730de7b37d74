"""Two variants on the same val images: McNemar's test for each seed that both have.

Each seed compares two checkpoints, so the result is about these checkpoints. Whether the variants
differ is for the comparison over seeds to say (`reports.analysis`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deit_core.correct_records import ValCorrectRecord
from deit_core.errors import SchemaError
from reports import stats
from reports.stats import McNemar
from reports.variants import Variant


@dataclass(frozen=True)
class SeedComparison:
    """Two checkpoints of one seed: `only_first` counts the variant, `only_second` its baseline."""

    seed: int
    test: McNemar
    adjusted_p: float
    """Holm's, over the seeds that are compared."""


@dataclass(frozen=True)
class ImageComparison:
    """A variant and its baseline on the same images."""

    group_id: str
    baseline_id: str
    seeds: tuple[SeedComparison, ...]
    """Ascending; empty where no seed can be compared."""
    other_images: tuple[int, ...]
    """Seeds of which both have a record, but of different images."""


def correct_records(variant: Variant) -> dict[int, ValCorrectRecord]:
    """The records of a variant's finished seeds; missing and damaged ones are left out."""
    records = {}
    for trial in variant.trials:
        if trial.result is None or trial.correct is None:
            continue
        try:
            record = ValCorrectRecord.from_json(trial.correct, "val_correct.json")
        except SchemaError:
            continue
        if record.trial_id == trial.planned.trial_id and record.images:
            records[trial.planned.seed] = record
    return records


def compare_images(variant: Variant, baseline: Variant) -> ImageComparison:
    """Compare two variants at equal seeds."""
    return compare_records(
        (variant.group_id, baseline.group_id), correct_records(variant), correct_records(baseline)
    )


def _images(record: ValCorrectRecord) -> tuple[str, int]:
    return record.val_key, record.images


def compare_records(
    groups: tuple[str, str],
    first: Mapping[int, ValCorrectRecord],
    second: Mapping[int, ValCorrectRecord],
) -> ImageComparison:
    """The same from records by seed.

    Args:
        groups: ids of the variant and of its baseline.
        first: records of the variant.
        second: records of its baseline.
    """
    shared = sorted(first.keys() & second.keys())
    alike = [seed for seed in shared if _images(first[seed]) == _images(second[seed])]
    tests = [stats.mcnemar(first[seed].hits(), second[seed].hits()) for seed in alike]
    adjusted = stats.holm_adjusted([test.p for test in tests])
    return ImageComparison(
        *groups,
        tuple(map(SeedComparison, alike, tests, adjusted)),
        tuple(seed for seed in shared if seed not in alike),
    )
