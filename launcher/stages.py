"""Checks that a teacher stage fits its students, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from deit_core.config import RunConfig
from launcher.cells import Cell
from launcher.errors import Location, SweepError
from launcher.layers import locate
from launcher.sweep import Sweep

_SHARED = (
    ("data", "source", "they would not learn the same classes"),
    ("model", "num_classes", "they must tell the same classes apart"),
    ("model", "img_size", "they look at the same images"),
    ("model", "in_chans", "they look at the same images"),
)
"""What teacher and student must have in common, and why."""


def check_teacher_source(sweep: Sweep) -> None:
    """A student's teacher comes from one place.

    Raises:
        SweepError: both a stage and a teacher in the students' config or axes, or a trial named
            by hand.
    """
    node, _ = locate(sweep.config, ("teacher",))
    named = node is not None and node.value is not None
    if sweep.teacher is None:
        trial, found = locate(sweep.config, ("teacher", "trial"))
        if trial is not None and found and trial.value is not None:
            raise SweepError(
                "teacher.trial: is filled in by the program; describe the training of the "
                "teacher under `teacher:` of a sweep file, or give teacher.checkpoint",
                trial.where,
            )
        return
    if named and node is not None:
        raise SweepError(
            f"teacher: the students' config names a teacher, and the stage in line "
            f"{sweep.teacher.where.line} trains one; remove the stage, or write "
            f"`set: {{teacher: null}}`",
            node.where,
        )
    for axis in sweep.axes:
        for field in axis.fields:
            if field.startswith("teacher."):
                raise SweepError(
                    f"{field}: cannot vary, the stage in line {sweep.teacher.where.line} trains "
                    f"the one teacher of all trials; remove one of the two",
                    axis.location,
                )


def check_students(
    sweep: Sweep, teacher: RunConfig, variants: Iterable[tuple[Cell, RunConfig]]
) -> None:
    """The teacher's images and classes are those of every student that learns from it.

    Raises:
        SweepError: they differ, at the student's value that does.
    """
    seen: set[tuple[object, ...]] = set()
    for cell, student in variants:
        if student.teacher is None:
            continue
        values = tuple(_value(student, section, name) for section, name, _ in _SHARED)
        if values not in seen:
            seen.add(values)
            _check_pair(sweep, teacher, cell, student)


def _value(config: RunConfig, section: str, name: str) -> object:
    return getattr(getattr(config, section), name)


def _check_pair(sweep: Sweep, teacher: RunConfig, cell: Cell, student: RunConfig) -> None:
    for section, name, reason in _SHARED:
        of_teacher, of_student = _value(teacher, section, name), _value(student, section, name)
        if None not in (of_teacher, of_student) and of_teacher != of_student:
            field = f"{section}.{name}"
            raise SweepError(
                f"{field}: is {of_teacher} for the teacher but {of_student} for the student, "
                f"and {reason}; make them equal",
                _student_location(sweep, cell, field),
            )


def _student_location(sweep: Sweep, cell: Cell, field: str) -> Location:
    """Where the student's value is given; the teacher stage where it follows from a default."""
    if field in cell.settings:
        return cell.settings[field].location
    node, found = locate(sweep.config, field.split("."))
    if node is not None and found and not isinstance(node.value, Mapping):
        return node.location
    return sweep.teacher.where if sweep.teacher else Location(str(sweep.source))
