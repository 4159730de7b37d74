"""The teacher of a step whose speed is measured."""

from __future__ import annotations

from pathlib import Path

from deit_core.bench.subject import Subject
from deit_core.distill.teacher import Normalisation, Teacher, load_teacher
from deit_core.identity import resolve
from deit_core.models import build_model
from deit_core.run_dir import RunDir


def teacher_of(subject: Subject) -> Teacher:
    """The teacher that training would load; a trial that is not trained yet answers untrained.

    No speed depends on its weights, so models can be measured before anything is trained.

    Raises:
        TeacherError: it is missing, damaged, or does not fit the student.
    """
    config = subject.config
    assert config.teacher is not None
    folder = Path(subject.target.run_dirs[0]) if subject.target.run_dirs else Path()
    if config.teacher.trial is not None:
        run = RunDir(folder.parent / config.teacher.trial)
        if run.exists() and run.read_summary() is None:
            return _untrained(subject, run)
    channels, side = subject.image_shape
    return load_teacher(
        config.teacher,
        run_dir=folder,
        data=config.data,
        num_classes=subject.num_classes,
        in_chans=channels,
        img_size=side,
        device=subject.device,
    )


def _untrained(subject: Subject, run: RunDir) -> Teacher:
    own, config = resolve(run.read_config()), subject.config
    assert config.teacher is not None
    model = build_model(own.model, num_classes=subject.num_classes, seed=own.seed)
    stream, seen = (
        Normalisation(data.mean or (), data.std or ()) for data in (config.data, own.data)
    )
    fuses = own.distill.kind != "none" and own.distill.token
    teacher = Teacher(model.to(subject.device), stream, seen, fuse=fuses)
    if config.teacher.channels_last:
        teacher.use_channels_last()
    return teacher
