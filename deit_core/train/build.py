"""From configs to parts: one small function for each."""

from __future__ import annotations

import hashlib
import logging
import socket
from collections.abc import Callable, Generator, Iterator, Sequence
from os import getpid
from pathlib import Path

import torch

from deit_core.config import RunConfig
from deit_core.data.eval_sets import load_real_labels, open_imagenet_v2
from deit_core.data.loader import EvalLoader, TrainBatch, train_batches
from deit_core.data.shard import Shard
from deit_core.data.sources import ImageSource, open_source
from deit_core.data.stream import TrainStream
from deit_core.distill.teacher import Teacher, load_teacher
from deit_core.duration import parse_duration
from deit_core.errors import CheckpointError, ConfigError, DataError, Problem, UserError
from deit_core.identity import resolve, stream_key, teacher_key
from deit_core.pruning import read_pruner
from deit_core.records import EnvRecord
from deit_core.run_dir import RunDir
from deit_core.tracking import check_trackers
from deit_core.train.build_learner import build_learner, distribute
from deit_core.train.dist import Ranks
from deit_core.train.precision import autocast_factory
from deit_core.train.progress import ProgressView
from deit_core.train.sinks import JsonlSink, StatusFile, starting_status
from deit_core.train.student import DataFacts, Student
from deit_core.train.tensorboard import TensorBoardSink
from deit_core.train.timetable import Timetable
from deit_core.train.trackers import Tracker, TrackerSink
from deit_core.train.trainer import Shared

_log = logging.getLogger(__name__)


def check_cohort(runs: Sequence[RunDir], configs: Sequence[RunConfig]) -> None:
    """Refuse trials that cannot share one stream and one teacher.

    Raises:
        UserError: names the first two that do not fit.
    """
    for run, config in zip(runs[1:], configs[1:], strict=True):
        if stream_key(config) != stream_key(configs[0]):
            raise UserError(
                f"{runs[0].path.name} and {run.path.name} cannot share a job: their data, "
                f"augmentation, batch, duration, precision or seed differ; run them apart"
            )
    teachers = {
        key: run
        for run, config in zip(runs, configs, strict=True)
        if (key := teacher_key(config)) is not None
    }
    if len(teachers) > 1:
        names = " and ".join(run.path.name for run in teachers.values())
        raise UserError(f"{names} cannot share a job: their teachers differ; run them apart")


def num_classes_of(config: RunConfig, source: ImageSource) -> int:
    """The class count, checked against the model's."""
    found = len(source.class_names)
    if config.model.num_classes not in (None, found):
        raise ConfigError(
            Problem(
                ("model", "num_classes"),
                f"{config.model.num_classes} is expected, but the data has {found} classes; "
                f"correct it, or use data.source: image_folder for a part of a known data set",
            )
        )
    return found


def build_shared(
    configs: Sequence[RunConfig], run: RunDir, device: torch.device, ranks: Ranks
) -> tuple[Shared, int]:
    """Data, teacher and precision of a cohort; also the steps of an epoch."""
    config = resolve(configs[0])
    in_chans, img_size = config.model.in_chans, config.model.img_size
    assert in_chans is not None
    assert img_size is not None
    train = open_source(config.data, in_chans=in_chans, split="train")
    val = open_source(config.data, in_chans=in_chans, split="val")
    num_classes = num_classes_of(config, train)
    stream = TrainStream.of(config, len(train))
    val_fingerprint = val.fingerprint()
    shared = Shared(
        train_batches=_train_batches(train, config, num_classes, device, ranks.shard),
        eval_batches=EvalLoader(val, config, device=device, shard=ranks.shard),
        teacher=_build_teacher(configs, run, num_classes, device),
        autocast=autocast_factory(device, config.train.precision),
        device=device,
        facts=DataFacts(
            train_images=len(train),
            num_classes=num_classes,
            fingerprint=f"{train.fingerprint()}-{val_fingerprint}",
            val_fingerprint=val_fingerprint,
        ),
        warn=_warn_unreadable,
        ranks=ranks,
        teacher_batch_size=config.train.micro_batch_size,
        real_labels=load_real_labels(real, val) if (real := config.eval.real_labels) else None,
        imagenet_v2=_open_v2(config, num_classes, device, ranks),
    )
    return shared, stream.steps_per_epoch


def _train_batches(
    source: ImageSource, config: RunConfig, num_classes: int, device: torch.device, shard: Shard
) -> Callable[[int, int], Generator[TrainBatch, None, None]]:
    def batches(first: int, last: int) -> Generator[TrainBatch, None, None]:
        return train_batches(
            source,
            config,
            num_classes=num_classes,
            first_step=first,
            last_step=last,
            device=device,
            shard=shard,
        )

    return batches


def _open_v2(
    config: RunConfig, num_classes: int, device: torch.device, ranks: Ranks
) -> EvalLoader | None:
    if config.eval.imagenet_v2 is None:
        return None
    assert config.model.in_chans is not None
    source = open_imagenet_v2(config.eval.imagenet_v2, config.model.in_chans, num_classes)
    return EvalLoader(source, config, device=device, shard=ranks.shard)


def _warn_unreadable(path: str) -> None:
    _log.warning("cannot read %s: training takes the next image, evaluation leaves it out", path)


def _build_teacher(
    configs: Sequence[RunConfig], run: RunDir, num_classes: int, device: torch.device
) -> Teacher | None:
    for config in map(resolve, configs):
        if config.distill.kind == "none" or config.teacher is None:
            continue
        assert config.model.in_chans is not None
        assert config.model.img_size is not None
        return load_teacher(
            config.teacher,
            run_dir=run.path,
            data=config.data,
            num_classes=num_classes,
            in_chans=config.model.in_chans,
            img_size=config.model.img_size,
            device=device,
        )
    return None


def build_timetable(config: RunConfig, steps_per_epoch: int) -> Timetable:
    """When to log, evaluate and save."""
    total = max(1, parse_duration(config.train.duration).steps(steps_per_epoch))
    return Timetable(
        total_steps=total,
        steps_per_epoch=steps_per_epoch,
        log_every=config.logging.every_steps,
        eval_every=max(1, parse_duration(config.eval.every).steps(steps_per_epoch)),
        save_every=config.train.checkpoint_every_epochs * steps_per_epoch,
        save_every_s=config.train.checkpoint_every_s,
    )


def build_student(
    run: RunDir, config: RunConfig, shared: Shared, *, steps_per_epoch: int, view: ProgressView
) -> Student:
    """A student at its newest checkpoint, or at step 0; of this process alone.

    Raises:
        UserError: its model, data or checkpoint is not valid.
    """
    if steps_per_epoch < 1:
        raise DataError(f"{run.path} has no training step in an epoch")
    timetable = build_timetable(config, steps_per_epoch)
    ranks = shared.ranks
    status = StatusFile(run, run.read_status(), writes=ranks.leads)
    student = Student(
        run=run,
        trial=run.read_trial(),
        config=config,
        learner=build_learner(
            config,
            num_classes=shared.facts.num_classes,
            timetable=timetable,
            device=shared.device,
        ),
        timetable=timetable,
        status=status,
        view=view,
        inputs=_inputs(config, shared),
        ranks=ranks,
        pruner=read_pruner(run),
    )
    student.restore(shared.device)
    if ranks.leads:
        student.drop_later_rows()
        _add_sinks(student)
    before = student.status.record
    student.status.update(
        force=True,
        step=student.step,
        total_steps=timetable.total_steps,
        repeated_steps=before.repeated_steps + max(0, before.step - student.step),
    )
    return student


def connect_student(student: Student, device: torch.device) -> None:
    """Join it with those of the other processes; every process must call this."""
    student.learner = distribute(student.learner, device, student.ranks)


def _add_sinks(student: Student) -> None:
    student.sinks.append(JsonlSink(student.run))
    if student.config.logging.tensorboard:
        folder = student.run.tensorboard_dir()
        purge = student.first_step + 1 if student.status.record.attempt > 1 else None
        student.sinks.append(
            TensorBoardSink(folder, student.trial, student.config, purge_step=purge)
        )
    student.sinks.extend(
        TrackerSink(tracker, student.run, student.trial) for tracker in _trackers(student)
    )


def _trackers(student: Student) -> Iterator[Tracker]:
    """The experiment trackers that the config asks for; their packages are imported here."""
    run, trial, config = student.run, student.trial, student.config
    wandb, mlflow = config.logging.wandb, config.logging.mlflow
    check_trackers(wandb, mlflow)
    if wandb is not None:
        from deit_core.train.wandb import WandbTracker

        yield WandbTracker(wandb, run, trial, config)
    if mlflow is not None:
        from deit_core.train.mlflow import MlflowTracker

        yield MlflowTracker(mlflow, trial, config)


def _inputs(config: RunConfig, shared: Shared) -> dict[str, str]:
    """Fingerprints of what this student learns from."""
    inputs = {"data": shared.facts.fingerprint}
    if shared.teacher is not None and config.distill.kind != "none":
        inputs["teacher"] = shared.teacher.fingerprint()
    if config.finetune is not None:
        inputs["finetune checkpoint"] = _file_digest(Path(config.finetune.checkpoint))
    return inputs


def _file_digest(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error


def begin_attempt(run: RunDir, env: EnvRecord) -> None:
    """Record that a job has taken this trial up."""
    run.write_env(env)
    status = starting_status(run.read_status(), pid=getpid(), hostname=socket.gethostname())
    run.write_status(status)
