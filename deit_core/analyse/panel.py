"""Everyone who sees the same pixels: runs of one image size and crop, and their teachers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from deit_core.analyse.decide import RunVoter, TeacherVoter
from deit_core.analyse.select import unique_names
from deit_core.analyse.token_cosine import TokenCosineMeter
from deit_core.config import DataConfig, RunConfig
from deit_core.distill.teacher import load_teacher
from deit_core.errors import TeacherError
from deit_core.finished import FinishedRun, load_model
from deit_core.identity import teacher_key
from deit_core.models.base import Distilled
from deit_core.records import HeadName, Weights
from deit_core.run_dir import RunDir
from deit_core.train.precision import autocast_factory


class View(NamedTuple):
    """What decides the pixels of an image of val."""

    img_size: int | None
    in_chans: int | None
    crop_ratio: float | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None


def view_of(config: RunConfig) -> View:
    """The view of a resolved config."""
    model, data = config.model, config.data
    return View(model.img_size, model.in_chans, config.eval.crop_ratio, data.mean, data.std)


@dataclass
class Member:
    """A run in the comparison."""

    finished: FinishedRun
    voter: RunVoter
    tokens: TokenCosineMeter | None
    """Null where the model has no distillation token."""
    teacher: str | None = None
    """Its teacher's name in the comparison."""
    teacher_missing: str | None = None
    """Why there is no teacher."""


@dataclass
class Panel:
    """Runs of one view, and their teachers."""

    config: RunConfig
    """Of the first of them; its eval and data settings are those of the pass."""
    members: list[Member] = field(default_factory=list)
    teachers: dict[str, TeacherVoter] = field(default_factory=dict)
    """By `teacher_key`."""


def build_panels(
    runs: Sequence[FinishedRun], data: DataConfig, weights: Weights, device: torch.device
) -> list[Panel]:
    """Load every model and teacher; a teacher that cannot be had is left out, with the reason.

    Args:
        runs: to compare.
        data: their common val set.
        weights: which weights of the runs; a teacher has only one set.
        device: where the models are put.

    Raises:
        UserError: a run's weights are missing or damaged.
    """
    teacher_names = _teacher_names(runs)
    panels: dict[View, Panel] = {}
    for finished, name in zip(runs, unique_names(runs), strict=True):
        config = finished.config
        own_data = data.model_copy(update={"mean": config.data.mean, "std": config.data.std})
        view = view_of(config)
        panel = panels.setdefault(view, Panel(config.model_copy(update={"data": own_data})))
        member = _member(finished, name, weights, device)
        panel.members.append(member)
        key = teacher_key(config)
        if key is None:
            member.teacher_missing = "trained without a teacher"
        else:
            _add_teacher(panel, member, (key, teacher_names[view, key]), device)
    return list(panels.values())


def _teacher_names(runs: Sequence[FinishedRun]) -> dict[tuple[View, str], str]:
    """`teacher`, or with more of them or a run of that name, also what each is called."""
    wanted = {
        (view_of(run.config), key): f"teacher ({_called(run)})"
        for run in runs
        if (key := teacher_key(run.config)) is not None
    }
    run_names = unique_names(runs)
    if len(wanted) == 1 and "teacher" not in run_names:
        return dict.fromkeys(wanted, "teacher")
    count = Counter([*wanted.values(), *run_names])
    return {
        (view, key): name if count[name] == 1 else f"{name}, {key[:6]}, {view.img_size} px"
        for (view, key), name in wanted.items()
    }


def _called(finished: FinishedRun) -> str:
    teacher = finished.config.teacher
    assert teacher is not None, "a run without one has no teacher_key"
    if teacher.trial is None:
        return str(teacher.name)
    run = RunDir(finished.run.path.parent / teacher.trial)
    return run.read_trial().name if run.exists() else teacher.trial


def _member(finished: FinishedRun, name: str, weights: Weights, device: torch.device) -> Member:
    model = load_model(finished, weights).to(device)
    heads: tuple[HeadName, ...] = ("cls", "dist", "fused")
    names: dict[HeadName, str] = {"cls": name}
    if finished.fuses:
        names = {head: f"{name}/{head}" for head in heads}
    autocast = autocast_factory(device, finished.config.train.precision)
    voter = RunVoter(model, names, finished.config.model.fusion, autocast)
    tokens = TokenCosineMeter(model) if isinstance(model, Distilled) else None
    return Member(finished, voter, tokens)


def _add_teacher(
    panel: Panel, member: Member, known_as: tuple[str, str], device: torch.device
) -> None:
    """Load the member's teacher, unless another member has the same; or note why it is missing."""
    key, name = known_as
    finished, config = member.finished, member.finished.config
    if key not in panel.teachers:
        assert config.teacher is not None, "a run without one has no teacher_key"
        assert config.model.in_chans is not None
        assert config.model.img_size is not None
        try:
            teacher = load_teacher(
                config.teacher,
                run_dir=finished.run.path,
                data=config.data,
                num_classes=finished.summary.num_classes,
                in_chans=config.model.in_chans,
                img_size=config.model.img_size,
                device=device,
            )
        except TeacherError as error:
            member.teacher_missing = str(error)
            return
        autocast = autocast_factory(device, config.train.precision)
        panel.teachers[key] = TeacherVoter(teacher, name, autocast)
    member.teacher = name
