"""From a config to the parts of a student that compute."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import warnings
from os import environ
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from deit_core.config import RunConfig
from deit_core.distill.task import DistillationTask
from deit_core.errors import ConfigError, Problem
from deit_core.identity import resolve
from deit_core.models import build_model, load_for_finetuning
from deit_core.optim.ema import ModelEma
from deit_core.optim.params import build_optimizer
from deit_core.optim.schedule import Schedule
from deit_core.train.compiling import compile_student
from deit_core.train.dist import Ranks
from deit_core.train.learner import Learner
from deit_core.train.precision import loss_scaler
from deit_core.train.timetable import Timetable

_log = logging.getLogger(__name__)


def build_learner(
    config: RunConfig, *, num_classes: int, timetable: Timetable, device: torch.device
) -> Learner:
    """Model, optimiser, schedule, task and EMA of one student, in this process alone."""
    config = resolve(config)
    model = _build_student_model(config, num_classes).to(device)
    if config.train.compile:
        _check_compiler(device)
        compile_student(model)
    decay = config.train.ema_decay
    learner = Learner(
        model=model,
        runner=model,
        optimizer=build_optimizer(model, config.optim),
        schedule=Schedule(config, timetable.steps_per_epoch, timetable.total_steps),
        task=DistillationTask(config.distill, config.train.loss),
        ema=ModelEma(model, decay) if decay is not None else None,
        scaler=loss_scaler(device, config.train.precision),
        seed=config.seed,
        global_batch_size=config.train.global_batch_size,
        micro_batch_size=config.train.micro_batch_size,
        clip_grad_norm=config.optim.clip_grad_norm,
        eval_mode=config.finetune is not None and config.finetune.eval_mode,
    )
    learner.train_mode()
    return learner


def _build_student_model(config: RunConfig, num_classes: int) -> nn.Module:
    """The model at its initial, or given, weights; a head that nothing trains is frozen.

    An untrained head has no gradient: frozen, it needs no place in the optimiser, and processes
    that add up gradients do not wait for its.
    """
    model = build_model(config.model, num_classes=num_classes, seed=config.seed)
    finetune = config.finetune
    if finetune is not None:
        adaptation = load_for_finetuning(model, Path(finetune.checkpoint))
        _log.info("starting from %s: %s", finetune.checkpoint, adaptation)
    fuses = finetune is not None and finetune.eval_mode
    head_dist = getattr(model, "head_dist", None)
    if isinstance(head_dist, nn.Module) and config.distill.kind == "none" and not fuses:
        head_dist.requires_grad_(False)
    return model


def distribute(learner: Learner, device: torch.device, ranks: Ranks) -> Learner:
    """The learner, its gradients averaged over all processes; every process must call it."""
    if ranks.world == 1:
        return learner
    ids = [device] if device.type == "cuda" else None
    # Said of every depthwise convolution: the stride of a dimension of size one means nothing.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    runner = DistributedDataParallel(learner.model, device_ids=ids, gradient_as_bucket_view=True)
    return dataclasses.replace(learner, runner=runner)


def _check_compiler(device: torch.device) -> None:
    """On a CPU, torch.compile writes C++."""
    if device.type == "cpu" and not shutil.which(environ.get("CXX", "g++")):
        raise ConfigError(
            Problem(
                ("train", "compile"),
                "true needs a C++ compiler on a CPU, and there is no g++ (or what CXX names); "
                "install one, or set train.compile: false",
            )
        )
