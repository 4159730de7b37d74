"""Who decides like whom, from the analyses of finished runs: means over seeds. Pure.

As Table 4 of DeiT (arXiv 2012.12877): the share of val images on which two decision makers give
different top-1 classes. Names in an analysis are those of one invocation, so only analyses that
were made together are compared; of several such sets the one with most runs of the sweep counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from deit_core.records import AnalysisRecord, DecisionMakerRecord
from reports.variants import Variant

GROUND_TRUTH = "ground truth"
HEADS = {"cls": "class", "dist": "distillation", "fused": "both"}
MOST_IN_MATRIX = 12
"""Decision makers whose pairs are all shown."""


@dataclass(frozen=True)
class Member:
    """One decision maker of one invocation: a head of a run, a teacher, or the labels."""

    name: str
    run: str
    """Trial id; empty for a teacher and for the labels."""
    record: DecisionMakerRecord | None


@dataclass(frozen=True)
class Party:
    """Decision makers that share a row: one head of all seeds of a variant."""

    label: str
    group_id: str
    """Of the variant; empty for teachers and labels."""
    head: str
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Agreement:
    """All parties of one set of analyses."""

    parties: tuple[Party, ...]
    images: int
    runs: int
    left_out: int
    """Runs whose analysis was made apart from these."""
    variants: tuple[Variant, ...]
    """Those that have a run among them, best first."""

    def find(self, group_id: str, head: str) -> Party | None:
        """One head of a variant."""
        return next((p for p in self.parties if (p.group_id, p.head) == (group_id, head)), None)

    @property
    def teachers(self) -> tuple[Party, ...]:
        """Most often one."""
        return tuple(party for party in self.parties if party.head == "teacher")

    @property
    def truth(self) -> Party:
        """The labels."""
        return self.parties[0]


def find_agreement(variants: Sequence[Variant]) -> Agreement | None:
    """The largest set of analyses that were made together; None where there is none.

    Args:
        variants: in the order of the rows.
    """
    sets = Counter(
        record.decision_makers for variant in variants for _, record in _analyses(variant)
    )
    if not sets:
        return None
    makers, runs = max(sets.items(), key=lambda item: (item[1], item[0]))
    parties = [Party(GROUND_TRUTH, "", "truth", (Member(GROUND_TRUTH, "", None),))]
    teachers: dict[str, Member] = {}
    students: list[Party] = []
    used: list[Variant] = []
    images = 0
    for variant in variants:
        found = [(run, one) for run, one in _analyses(variant) if one.decision_makers == makers]
        if not found:
            continue
        used.append(variant)
        images = found[0][1].images
        for _, one in found:
            if one.teacher is not None:
                teachers.setdefault(one.teacher.name, Member(one.teacher.name, "", one.teacher))
        students += _heads(variant, found)
    parties += [Party(name, "", "teacher", (member,)) for name, member in sorted(teachers.items())]
    left_out = sum(sets.values()) - runs
    return Agreement((*parties, *students), images, runs, left_out, tuple(used))


def _analyses(variant: Variant) -> Iterator[tuple[str, AnalysisRecord]]:
    for trial in variant.trials:
        if trial.analysis is not None and trial.result is not None:
            yield trial.planned.trial_id, trial.analysis


def _heads(variant: Variant, found: Sequence[tuple[str, AnalysisRecord]]) -> Iterator[Party]:
    several = any(len(one.heads) > 1 for _, one in found)
    for head, word in HEADS.items():
        members = tuple(
            Member(record.name, run, record)
            for run, one in found
            if (record := dict(one.heads).get(head)) is not None  # type: ignore[call-overload]
        )
        if members:
            label = f"{variant.label} ({word})" if several else variant.label
            yield Party(label, variant.group_id, head, members)


def disagreement(one: Party, other: Party) -> float | None:
    """Mean share of images (0-1); None where nobody was compared.

    Heads of one variant are compared within each run, different variants in all pairs of their
    runs; a party with itself is the mean over pairs of seeds, and 0 where it is alone.
    """
    if one is other:
        if len(one.members) < 2:
            return 0.0
        pairs: Iterable[tuple[Member, Member]] = combinations(one.members, 2)
    elif one.group_id and one.group_id == other.group_id:
        pairs = [(a, b) for a in one.members for b in other.members if a.run == b.run]
    else:
        pairs = [(a, b) for a in one.members for b in other.members]
    found = [share for a, b in pairs if (share := _share(a, b)) is not None]
    return sum(found) / len(found) if found else None


def _share(a: Member, b: Member) -> float | None:
    for one, other in ((a, b), (b, a)):
        if one.record is not None and other.name in one.record.disagreement:
            return one.record.disagreement[other.name]
    return None


# tokens --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TokenLine:
    """Cosine of class and distillation token by place, the mean over a variant's runs."""

    label: str
    cosines: Mapping[str, float]
    n: int


def token_lines(variants: Sequence[Variant]) -> list[TokenLine]:
    """One for each variant that has any, in the order given."""
    lines = []
    for variant in variants:
        runs = [
            {one.place: one.cosine for one in record.token_cosine if one.cosine is not None}
            for _, record in _analyses(variant)
            if record.token_cosine
        ]
        if runs:
            places = [place for place in runs[0] if all(place in run for run in runs)]
            means = {place: sum(run[place] for run in runs) / len(runs) for place in places}
            lines.append(TokenLine(variant.label, means, len(runs)))
    return lines


def places_of(lines: Sequence[TokenLine]) -> list[str]:
    """All places in the order of the network: what comes before the blocks, blocks, norm."""
    found = dict.fromkeys(place for line in lines for place in line.cosines)

    def depth(place: str) -> tuple[int, int]:
        number = place.rpartition(" ")[2]
        if number.isdigit():
            return 1, int(number)
        return (2, 0) if place == "norm" else (0, 0)

    return sorted(found, key=depth)
