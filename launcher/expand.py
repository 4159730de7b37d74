"""From a sweep to its trials. Pure: the same sweep gives the same trials, everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from deit_core.config import RunConfig, parse_run_config
from deit_core.errors import ConfigError
from deit_core.identity import canonical, group_id_of, identify, trial_and_group_id
from launcher.axes import Setting
from launcher.cell_errors import cell_error, tree_error
from launcher.cells import Cell, make_cells, with_settings
from launcher.errors import Location
from launcher.fields import value_at
from launcher.inert import IdOf, fields_of_base, inert_fields, inert_notes
from launcher.layers import config_values
from launcher.stages import check_students, check_teacher_source
from launcher.sweep import Sweep
from launcher.trial_names import short_labels, unique_names, value_text


@dataclass(frozen=True)
class Trial:
    """One cell of the sweep with one seed."""

    trial_id: str
    group_id: str
    name: str
    """Readable, unique within the sweep, fit for a file name: `kind=soft,seed=0`."""
    role: Literal["student", "teacher"]
    seed: int
    swept: dict[str, Any]
    """Every swept field in axis order; null where it has no effect on this trial."""
    config: RunConfig
    """Canonical, with `teacher.trial` filled in."""
    after: tuple[str, ...] = ()
    """Ids of the trials that must be completed first."""


@dataclass(frozen=True)
class Expansion:
    """All trials of a sweep."""

    trials: tuple[Trial, ...]
    """Teacher first, then students in axis order, seeds innermost; ids are distinct."""
    axes: tuple[str, ...]
    """Swept fields in axis order."""
    cells: int
    """Combinations of axis values and seeds, before equal ones became one trial."""
    notes: tuple[str, ...]
    """What a user should know, such as axes without effect."""


@dataclass(frozen=True)
class _Variant:
    """A cell with its config, before seeds."""

    cell: Cell
    config: RunConfig
    group_id: str
    trial_ids: tuple[str, ...]
    """One for each seed."""


def expand(sweep: Sweep) -> Expansion:
    """All trials of the sweep, each one valid.

    Raises:
        SweepError: a config that is not valid, at the line of the value that makes it so; a
            teacher that does not fit its students.
    """
    check_teacher_source(sweep)
    fields = tuple(field for axis in sweep.axes for field in axis.fields)
    teacher = _teacher(sweep, fields)
    base = config_values(sweep.config) | {"seed": sweep.seeds[0]}
    if teacher is not None:
        base["teacher"] = {"trial": teacher.trial_id}
    variants = [_variant(sweep, base, cell) for cell in make_cells(sweep.axes, base)]
    if teacher is not None:
        check_students(sweep, teacher.config, [(v.cell, v.config) for v in variants])
    cells, ids = [v.cell for v in variants], [v.group_id for v in variants]
    inert = inert_fields(sweep.axes, cells, ids, _groups_around(base))
    of_base = fields_of_base(sweep.axes, cells, ids, _groups_around(base))
    shown = [
        _swept(fields, variant, without_effect, kept)
        for variant, without_effect, kept in zip(variants, inert, of_base, strict=True)
    ]
    trials = _students(sweep, fields, variants, shown)
    notes = [
        *sweep.notes,
        *_never_varies(sweep, cells),
        *inert_notes(cells, ids, inert, len(sweep.seeds)),
    ]
    if teacher is not None:
        if any(trial.after for trial in trials):
            trials = _with_teacher(teacher, trials)
        else:
            notes.append("the teacher is not trained: distill.kind is none in every trial")
    return Expansion(_named(trials), fields, len(cells) * len(sweep.seeds), tuple(notes))


def _teacher(sweep: Sweep, fields: Sequence[str]) -> Trial | None:
    stage = sweep.teacher
    if stage is None or not isinstance(stage.value, Mapping):
        return None
    try:
        config = canonical(parse_run_config(config_values(stage.value)))
    except ConfigError as error:
        raise tree_error(stage.value, error, stage.where, "in the teacher's config, ") from None
    swept = dict.fromkeys(fields)
    return Trial(*trial_and_group_id(config), "teacher", "teacher", config.seed, swept, config)


def _variant(sweep: Sweep, base: Mapping[str, Any], cell: Cell) -> _Variant:
    try:
        config = parse_run_config(with_settings(base, cell.settings))
    except ConfigError as error:
        raise cell_error(sweep.config, base, cell, error, Location(str(sweep.source))) from None
    return _Variant(cell, *identify(config, sweep.seeds))


def _groups_around(base: Mapping[str, Any]) -> IdOf:
    def id_of(settings: Mapping[str, Setting]) -> str | None:
        try:
            config = parse_run_config(with_settings(base, settings))
        except ConfigError:
            return None
        return group_id_of(config)

    return id_of


def _students(
    sweep: Sweep,
    fields: Sequence[str],
    variants: Sequence[_Variant],
    shown: Sequence[dict[str, Any]],
) -> list[Trial]:
    """Every distinct variant with every seed; of equal variants the first one stands."""
    labels = short_labels(fields)
    single = not fields and len(sweep.seeds) == 1
    trials: list[Trial] = []
    seen: set[str] = set()
    for variant, swept in zip(variants, shown, strict=True):
        if variant.group_id in seen:
            continue
        seen.add(variant.group_id)
        parts = [f"{labels[f]}={value_text(v)}" for f, v in swept.items() if v is not None]
        for seed, trial_id in zip(sweep.seeds, variant.trial_ids, strict=True):
            name = sweep.name if single else ",".join((*parts, f"seed={seed}"))
            trials.append(_student(variant, trial_id, name, seed, swept))
    return trials


def _swept(
    fields: Sequence[str], variant: _Variant, without_effect: set[str], of_base: set[str]
) -> dict[str, Any]:
    """Values as the file gives them. A null that does something is the text "null"."""
    given = {field: setting.value for field, setting in variant.cell.settings.items()}
    if of_base:
        config = variant.config.model_dump(mode="json")
        given |= {field: value_at(config, field) for field in of_base}
    kept = {field: value for field, value in given.items() if field not in without_effect}
    named = {field: "null" if value is None else value for field, value in kept.items()}
    return dict.fromkeys(fields) | named


def _student(
    variant: _Variant, trial_id: str, name: str, seed: int, swept: dict[str, Any]
) -> Trial:
    config = variant.config
    if seed != config.seed:
        config = config.model_copy(update={"seed": seed})
    teacher = config.teacher.trial if config.teacher else None
    after = (teacher,) if teacher else ()
    return Trial(trial_id, variant.group_id, name, "student", seed, swept, config, after)


def _with_teacher(teacher: Trial, students: list[Trial]) -> list[Trial]:
    """Teacher first; where it is one of the students too, that trial serves as both."""
    both = [trial for trial in students if trial.trial_id == teacher.trial_id]
    others = [trial for trial in students if trial.trial_id != teacher.trial_id]
    return [*(both or [teacher]), *others]


def _named(trials: Sequence[Trial]) -> tuple[Trial, ...]:
    names = unique_names([t.name for t in trials], [t.trial_id for t in trials])
    return tuple(
        trial if name == trial.name else replace(trial, name=name)
        for trial, name in zip(trials, names, strict=True)
    )


def _never_varies(sweep: Sweep, cells: Sequence[Cell]) -> list[str]:
    varies = {field for cell in cells for field in cell.settings}
    return [
        f"{field} never varies: its condition ({' and '.join(map(str, conditions))}) is never met"
        for axis in sweep.axes
        for field, conditions in axis.when.items()
        if field not in varies
    ]
