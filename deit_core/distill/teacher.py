"""The frozen teacher: a timm model, a checkpoint file, or the result of another trial.

Shape suffixes: B batch, C image channels, S image side, L classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deit_core.config import DataConfig, TeacherConfig
from deit_core.errors import TeacherError, UserError
from deit_core.identity import resolve
from deit_core.models import build_model, create_model, head_logits, load_weights
from deit_core.models.timm_models import create_timm_model
from deit_core.models.weights import check_fit
from deit_core.models.weights_reader import read_weights
from deit_core.run_dir import RunDir
from deit_core.variants import VARIANTS


@dataclass(frozen=True)
class Normalisation:
    """Per-channel mean and standard deviation of images, in units of [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def channels(self) -> int:
        """C."""
        return len(self.mean)


class Teacher:
    """A model that only answers: eval mode, no gradients, its own normalisation.

    Args:
        model: any image classifier; frozen here, in place.
        stream: how the images it will be given are normalised.
        own: how it was trained to see them; the stream's when None. A teacher with three channels
            takes grey images as colour images without colour.
        fuse: answer with both heads of a distilled model; false where the second never learned.
    """

    def __init__(
        self,
        model: nn.Module,
        stream: Normalisation,
        own: Normalisation | None = None,
        *,
        fuse: bool = True,
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self._layout = torch.contiguous_format
        self._fuse = fuse
        self._affine: tuple[Tensor, Tensor] | None = None
        if own is not None and own != stream:
            device = next(model.parameters()).device
            mean, std, own_mean, own_std = (
                torch.tensor(values, dtype=torch.float64).view(-1, 1, 1)
                for values in (stream.mean, stream.std, own.mean, own.std)
            )
            scale, shift = std / own_std, (mean - own_mean) / own_std
            self._affine = scale.float().to(device), shift.float().to(device)

    def use_channels_last(self) -> None:
        """Keep weights and images in channels-last layout: the same answers but for rounding."""
        self._layout = torch.channels_last
        self.model.to(memory_format=self._layout)  # type: ignore[call-overload]

    @torch.no_grad()
    def __call__(self, images_BCSS: Tensor) -> Tensor:
        """Logits (B, L) for images normalised as the stream's."""
        if self._affine is not None:
            scale_C11, shift_C11 = self._affine
            images_BCSS = images_BCSS * scale_C11 + shift_C11
        images_BCSS = images_BCSS.contiguous(memory_format=self._layout)
        if not self._fuse:
            return head_logits(self.model, images_BCSS).cls_logits
        logits_BL: Tensor = self.model(images_BCSS)
        return logits_BL

    def fingerprint(self) -> str:
        """A hash over all weights: a resumed student must meet the teacher it began with."""
        hashed = hashlib.blake2b(digest_size=8)
        for name, tensor in sorted(self.model.state_dict().items()):
            hashed.update(name.encode())
            hashed.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return hashed.hexdigest()


@dataclass(frozen=True)
class _Student:
    """What the teacher has to fit."""

    stream: Normalisation
    num_classes: int
    img_size: int


def load_teacher(  # noqa: PLR0913 - all by name, from one call site
    config: TeacherConfig,
    *,
    run_dir: Path,
    data: DataConfig,
    num_classes: int,
    in_chans: int,
    img_size: int,
    device: torch.device,
) -> Teacher:
    """The teacher a student's config asks for, tried on one empty image.

    Args:
        config: where its weights come from.
        run_dir: the student's run directory; a teacher that is a trial lies beside it.
        data: resolved; its mean and std are the normalisation of the images.
        num_classes: classes of the data.
        in_chans: channels of the student's images.
        img_size: side of the student's images in pixels.
        device: where it will be used.

    Raises:
        TeacherError: it is missing, unfinished, damaged, or does not fit the student.
    """
    assert data.mean is not None
    assert data.std is not None
    student = _Student(Normalisation(data.mean, data.std), num_classes, img_size)
    try:
        with torch.random.fork_rng(devices=[]):  # its initial weights are drawn, then replaced
            if config.trial is not None:
                teacher = _from_trial(run_dir.parent / config.trial, student, device)
            elif config.checkpoint is not None:
                teacher = _from_checkpoint(config, Path(config.checkpoint), student, device)
            else:
                teacher = _from_timm(config, student, device)
    except TeacherError:
        raise
    except UserError as error:
        raise TeacherError(f"the teacher cannot be loaded: {error}") from error
    if config.channels_last:
        teacher.use_channels_last()
    _try_on(teacher, student, torch.zeros(1, in_chans, img_size, img_size, device=device))
    return teacher


def _from_trial(path: Path, student: _Student, device: torch.device) -> Teacher:
    run = RunDir(path)
    if not run.exists():
        raise TeacherError(
            f"the teacher trial {path.name} is not in {path.parent}; "
            f"run the sweep that trains it first"
        )
    summary = run.read_summary()
    if summary is None:
        status = run.read_status()
        reason = f" ({status.reason})" if status.reason else ""
        raise TeacherError(
            f"the teacher trial {path.name} is {status.state}{reason}, not completed; "
            f"let it finish, or retry it, before its students"
        )
    config = resolve(run.read_config())
    _check_classes(f"the teacher trial {path.name}", summary.num_classes, student)
    model = build_model(config.model, num_classes=summary.num_classes, seed=config.seed)
    load_weights(model, run.weights_file)
    assert config.data.mean is not None
    assert config.data.std is not None
    own = Normalisation(config.data.mean, config.data.std)
    return Teacher(model.to(device), student.stream, own, fuse=summary.fuses)


def _from_checkpoint(
    config: TeacherConfig, path: Path, student: _Student, device: torch.device
) -> Teacher:
    """A file says nothing of its normalisation: it is taken to be the stream's."""
    assert config.name is not None
    _refuse_class_count(config)
    stream = student.stream
    channels = config.kwargs.get("in_chans", stream.channels)
    state = read_weights(path)
    sizes: dict[str, Any] = {"num_classes": student.num_classes, "in_chans": channels}
    if config.name in VARIANTS:
        sizes["img_size"] = student.img_size
        model: nn.Module = create_model(config.name, **(sizes | config.kwargs))
    else:
        optional = {"img_size": student.img_size}
        model = create_timm_model(config.name, sizes | config.kwargs, where_accepted=optional)
    found = _class_count(model.state_dict(), state, student.num_classes)
    _check_classes(f"the teacher {path}", found, student)
    check_fit(model.state_dict(), state, path)
    model.load_state_dict(state)
    own = stream
    if stream.channels == 1:
        own = Normalisation(stream.mean * channels, stream.std * channels)
    return Teacher(model.to(device), stream, own)


def _from_timm(config: TeacherConfig, student: _Student, device: torch.device) -> Teacher:
    assert config.name is not None
    _refuse_class_count(config)
    optional = {"img_size": student.img_size}
    model: Any = create_timm_model(
        config.name, config.kwargs, where_accepted=optional, pretrained=True
    )
    published = model.pretrained_cfg
    own = Normalisation(tuple(published["mean"]), tuple(published["std"]))
    if student.stream.channels not in (1, own.channels):
        raise TeacherError(
            f"the teacher {config.name} takes images of {own.channels} channels, the data has "
            f"{student.stream.channels}; set model.in_chans: {own.channels}"
        )
    return Teacher(model.to(device), student.stream, own)


def _refuse_class_count(config: TeacherConfig) -> None:
    """Given one, timm puts an untrained head on a pretrained model without a word."""
    if "num_classes" in config.kwargs:
        raise TeacherError(
            "teacher.kwargs: num_classes is given; leave it out, a teacher has the classes it was "
            "trained on"
        )


def _class_count(own: Mapping[str, Tensor], given: Mapping[str, Tensor], expected: int) -> int:
    """The classes a state dict was trained on: `expected`, unless its heads alone say otherwise."""
    differ = [name for name in own if name in given and given[name].shape != own[name].shape]
    heads = [
        name
        for name in differ
        if own[name].shape[:1] == (expected,) and own[name].shape[1:] == given[name].shape[1:]
    ]
    return given[heads[0]].shape[0] if heads and heads == differ else expected


def _check_classes(who: str, found: int, student: _Student) -> None:
    if found != student.num_classes:
        raise TeacherError(
            f"{who} knows {found} classes, the data has {student.num_classes}; "
            f"use a teacher that was trained on these classes"
        )


def _try_on(teacher: Teacher, student: _Student, image: Tensor) -> None:
    """One image through the teacher tells all that its sizes do not."""
    name = type(teacher.model).__name__
    try:
        logits = teacher(image)
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise TeacherError(
            f"the teacher ({name}) cannot take the student's images {tuple(image.shape[1:])}: "
            f"{reason}"
        ) from error
    _check_classes(f"the teacher ({name})", logits.shape[-1], student)
