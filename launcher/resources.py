"""What a job asks of the machine it runs on. Never part of a trial's identity."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

DEFAULT_COHORT = 8
"""Trials that share one job when `cohort` is true."""

_UNITS_S = {"d": 86_400, "h": 3_600, "min": 60, "m": 60, "s": 1}
_PARTS = re.compile(r"(\d+(?:\.\d+)?)\s*(d|h|min|m|s)\s*")
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):([0-5]?\d):([0-5]?\d)")


def parse_time_s(text: str) -> int:
    """Seconds of "24h", "90min", "1d12h" or SLURM's "[days-]hours:minutes:seconds".

    Raises:
        ValueError: none of these, or no time at all.
    """
    clock = _CLOCK.fullmatch(text.strip())
    if clock is not None:
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        total = float(days * 86_400 + hours * 3_600 + minutes * 60 + seconds)
    elif text.strip() and _PARTS.sub("", text.strip()) == "":
        total = sum(float(value) * _UNITS_S[unit] for value, unit in _PARTS.findall(text))
    else:
        raise ValueError(f'{text!r} is no time; write "24h", "90min", "1d12h" or "1-12:00:00"')
    if total < 1:
        raise ValueError(f"{text!r} leaves no time to train")
    return round(total)


def _no_bare_number(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f'{value} has no unit; write "{value}h" or "{value}min"')
    return value


def _valid_cohort(value: Any) -> Any:
    if not isinstance(value, int) or (not isinstance(value, bool) and value < 1):
        raise ValueError(f"{value!r} is no cohort size; use true, false, or a number from 1 up")
    return value


def _valid_time(text: str | None) -> str | None:
    if text is not None:
        parse_time_s(text)
    return text


def _one_line(text: str) -> str:
    if not text.strip() or "\n" in text:
        raise ValueError(f"{text!r} must be one line that is not empty")
    return text


def _as_lines(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError(f'{value!r} is no list of shell lines; write ["{value}"]')
    return tuple(value) if isinstance(value, list) else value


_OURS: Mapping[str, str] = {
    "nodes": "nodes",
    "ntasks": "tasks_per_node",
    "ntasks-per-node": "tasks_per_node",
    "gpus": "gpus_per_node",
    "gpus-per-node": "gpus_per_node",
    "gres": "gpus_per_node",
    "cpus-per-task": "cpus_per_gpu or cpus_per_trial",
    "cpus-per-gpu": "cpus_per_gpu",
    "mem": "mem_gb",
    "time": "time",
    "partition": "partition",
    "account": "account",
    "qos": "qos",
    "constraint": "constraint",
    "exclude": "exclude",
    "comment": "comment",
}
"""Options of sbatch that a field of its own gives."""
_LAUNCHERS = frozenset(
    {
        "array",
        "chdir",
        "dependency",
        "error",
        "export",
        "job-name",
        "kill-on-invalid-dep",
        "no-requeue",
        "open-mode",
        "output",
        "parsable",
        "requeue",
        "signal",
        "test-only",
        "wrap",
    }
)
"""Options that the launcher itself needs."""


_NAME = re.compile(r"[a-z][a-z0-9-]*")


def _plain_options(options: Any) -> Any:
    """Refuse names and values that sbatch cannot be given, in plainer words than a union's."""
    if not isinstance(options, dict):
        raise ValueError(f"{options!r} is no mapping; write {{mail-type: END, exclusive: true}}")
    for name, value in options.items():
        if not isinstance(name, str) or _NAME.fullmatch(name) is None:
            raise ValueError(
                f"{name!r} is no option of sbatch; give a long name without its dashes, of small "
                f"letters, digits and hyphens, such as mail-type"
            )
        text = isinstance(value, str) and bool(value.strip()) and len(value.splitlines()) == 1
        if not text and not isinstance(value, int):
            raise ValueError(
                f"{name} is {value!r}; give text, a whole number or true/false, on one line"
            )
    return options


def _not_ours(options: dict[str, str | int | bool]) -> dict[str, str | int | bool]:
    for name in options:
        if name in _OURS:
            raise ValueError(f"{name!r} is given by the field {_OURS[name]}; use that")
        if name in _LAUNCHERS:
            raise ValueError(f"{name!r} is set by the launcher itself; remove it")
    return options


PositiveInt = Annotated[int, Field(gt=0)]
Word = Annotated[str, AfterValidator(_one_line)]
SbatchOption = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
SbatchOptions = dict[SbatchOption, bool | int | str]


class Resources(BaseModel):
    """Resources of one job, and how many jobs may run at once."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True
    )

    nodes: PositiveInt = 1
    """Nodes of one job."""
    gpus_per_node: Annotated[int, Field(ge=0)] | None = None
    """GPUs of one job on each node; 0: train on CPU; null: one where the machine has any."""
    cpus_per_gpu: PositiveInt | None = None
    """CPU cores for each GPU, for the loader; null: an equal share of the node's cores."""
    tasks_per_node: PositiveInt | None = None
    """Processes of one job on each node; null: one for each GPU, one without GPUs. On this machine
    alone a job has one process unless this is given."""
    cpus_per_trial: PositiveInt = 1
    """CPU cores of one job that trains without a GPU, shared by its processes."""
    mem_gb: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Memory of one job on each node, in GB; null: the scheduler's default."""
    gpu_mem_gb: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Memory of one GPU, in GB; trials that need more do not share a job. null: not known."""
    time: Annotated[str | None, BeforeValidator(_no_bare_number), AfterValidator(_valid_time)] = (
        "24h"
    )
    """Time limit of one job ("24h", "90min", "1-12:00:00"); null: the scheduler's default."""
    max_parallel: PositiveInt | None = None
    """Jobs that may run at the same time; null: as many as fit."""
    max_requeues: PositiveInt = 3
    """Attempts in a row that end without any progress before a trial counts as failed."""
    partition: Word | None = None
    """SLURM partition; null: the cluster's default."""
    account: Word | None = None
    """SLURM account that is charged; null: the user's default."""
    qos: Word | None = None
    """SLURM quality of service; null: the account's default."""
    constraint: Word | None = None
    """Features of the nodes, as `sbatch --constraint` takes them ("a100&nvlink")."""
    exclude: Word | None = None
    """Nodes that must not be used, as `sbatch --exclude` takes them ("node[3-5],node9")."""
    comment: Word | None = None
    """Kept by SLURM with each job."""
    sbatch: Annotated[
        SbatchOptions, BeforeValidator(_plain_options), AfterValidator(_not_ours)
    ] = {}
    """Further options of sbatch by their long names ({"mail-type": "END", "exclusive": true})."""
    setup: Annotated[tuple[Word, ...], BeforeValidator(_as_lines)] = ()
    """Shell lines that a SLURM job runs first ("module load cuda"); one that fails ends the job."""
    cohort: Annotated[bool | PositiveInt, BeforeValidator(_valid_cohort)] = True
    """Most trials that share one job, its images and its teacher; true: 8; false or 1: none."""

    @property
    def time_s(self) -> int | None:
        """The time limit in seconds."""
        return None if self.time is None else parse_time_s(self.time)

    @property
    def processes_per_node(self) -> int:
        """Processes of one job on each of its nodes: one a GPU unless given."""
        return self.tasks_per_node or self.gpus_per_node or 1

    @property
    def process_memory_gib(self) -> float | None:
        """What one process of a job may use: of its GPU, else of its share of the node's memory."""
        if self.gpus_per_node:
            given = self.gpu_mem_gb
        else:
            given = None if self.mem_gb is None else self.mem_gb / self.processes_per_node
        return None if given is None else given * 1e9 / 2**30

    @property
    def cohort_size(self) -> int:
        """Most trials in one job."""
        if isinstance(self.cohort, bool):
            return DEFAULT_COHORT if self.cohort else 1
        return self.cohort
