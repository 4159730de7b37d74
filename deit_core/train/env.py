"""What the run ran on: device, threads, library versions, and the state of the source tree."""

from __future__ import annotations

import os
import platform
import socket
from importlib import metadata

import torch

from deit_core.config import TrainConfig
from deit_core.cores import cpu_name, job_cores
from deit_core.errors import ConfigError, Problem
from deit_core.records import EnvRecord
from deit_core.rendezvous import GPU_BOUND_VARIABLE
from deit_core.source_tree import import_root, source_state

_LIBRARIES = ("torch", "torchvision", "timm", "numpy", "pillow", "scikit-learn", "deit-sweeps")


def choose_device(config: TrainConfig, local_rank: int = 0) -> torch.device:
    """The device to train on; `auto` takes CUDA where there is one.

    Args:
        config: what is asked for.
        local_rank: which process of this machine asks; each takes a GPU of its own, unless
            DEIT_GPU_BOUND says that it has been given one already.

    Raises:
        ConfigError: CUDA is asked for and not there, or has fewer GPUs than there are processes.
    """
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise ConfigError(
            Problem(("train", "device"), "'cuda' is given, but torch sees no GPU; use auto or cpu")
        )
    if not available or config.device == "cpu":
        return torch.device("cpu")
    found = torch.cuda.device_count()
    index = 0 if os.environ.get(GPU_BOUND_VARIABLE) == "1" else local_rank
    if index >= found:
        raise ConfigError(
            Problem(
                ("train", "device"),
                f"process {local_rank} of this machine needs a GPU of its own, but torch sees "
                f"{found}; start as many processes as there are GPUs",
            )
        )
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def set_threads(config: TrainConfig) -> int:
    """Use the threads that were granted, never more: a busy neighbour stalls every barrier."""
    threads = config.threads or job_cores(os.environ)
    torch.set_num_threads(threads)
    return threads


def shortage_of_cores(threads: int, workers: int | None, granted: int) -> str | None:
    """A sentence for a process that shares fewer cores than it has threads or loader processes.

    Args:
        threads: of the training process.
        workers: loader processes that the config asks for; None: chosen to fit.
        granted: cores that the process may run on.
    """
    if granted >= max(threads, workers or 0):
        return None
    asked = f"{threads} threads" + (f" and {workers} loader processes" if workers else "")
    return (
        f"granted cores: {granted}, for {asked} of each process; "
        f"raise resources.cpus_per_gpu or cpus_per_trial, or lower data.workers"
    )


def describe_environment(device: torch.device, threads: int) -> EnvRecord:
    """env.json's contents for this process."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    source = source_state(import_root())
    return EnvRecord(
        python=platform.python_version(),
        platform=platform.platform(),
        hostname=socket.gethostname(),
        device=device.type,
        device_name=name,
        threads=threads,
        versions=_versions(),
        git_sha=source.sha,
        git_dirty=None if source.sha is None else bool(source.patch),
        git_patch=source.patch or None,
    )


def _versions() -> dict[str, str]:
    versions = {"torch": str(torch.__version__)}
    for library in _LIBRARIES[1:]:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return versions
