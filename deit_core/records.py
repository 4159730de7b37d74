"""The results schema: what each file of a run directory holds. Torch-free.

Every record carries `schema_version`. Numbers carry their unit in their key; accuracies are
percentages (0-100) of the evaluated images; a number that is not finite is stored as null.
"""

from __future__ import annotations

import math
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from deit_core.errors import SchemaError

SCHEMA_VERSION = 1

State = Literal["pending", "running", "preempted", "completed", "failed", "pruned"]
FINISHED_STATES: frozenset[str] = frozenset({"completed", "failed", "pruned"})
"""States that no running process will change any more."""

FailureKind = Literal[
    "diverged",
    "user_error",
    "crashed",
    "lost",
    "dependency",
    "timeout",
    "gpu_memory",
    "host_memory",
    "node_failure",
]
"""Why a trial failed: a non-finite loss; a config, data or disk the user can mend; an exception;
a process that vanished; a teacher that failed; the time limit, before any progress; too little
memory on the GPU, on the host; a node that went away."""


EnergySource = Literal["nvml", "rapl"]
"""`nvml`: the GPUs' own counters. `rapl`: the counters of the machine's processor packages and
memory, which count whatever else runs there."""


class Record(BaseModel):
    """Base of all records: frozen, tolerant of keys that a newer minor version added."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    schema_version: int = SCHEMA_VERSION

    @classmethod
    def from_json(cls, values: Any, where: str) -> Self:
        """Validate decoded JSON read from `where`.

        Raises:
            SchemaError: a newer schema version, or values that do not fit.
        """
        version = values.get("schema_version") if isinstance(values, dict) else None
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise SchemaError(
                f"{where} has schema version {version}, this program reads up to "
                f"{SCHEMA_VERSION}; update it, or use the version that wrote the file"
            )
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(str(part) for part in first["loc"])
            raise SchemaError(f"{where} is damaged: {key}: {first['msg']}") from None


class TrialRecord(Record):
    """trial.json: who this trial is."""

    trial_id: str
    group_id: str
    """The trial id without the seed: equal for all seeds of one variant."""
    name: str
    """Readable and unique within its sweep, such as `kind=hard,seed=0`; also TensorBoard's name."""
    role: Literal["student", "teacher", "bench"] = "student"
    """A `bench` trains nothing: it measures the speed of other trials' models (bench.json)."""
    seed: int
    swept: dict[str, Any] = {}
    """Value of every swept field, in axis order; null where the field has no effect."""
    tensorboard: str | None = None
    """Folder of the event files, relative to the run directory; `tensorboard` when null."""


class EnvRecord(Record):
    """env.json: what the run ran on."""

    python: str
    platform: str
    hostname: str
    device: str
    device_name: str
    threads: int
    versions: dict[str, str]
    """Installed version of each library that can change a result."""
    git_sha: str | None = None
    git_dirty: bool | None = None
    git_patch: str | None = None
    """`git diff HEAD` of a dirty tree, cut at 1 MB."""


class StatusRecord(Record):
    """status.json: where the trial stands.

    Written by the job; by the launcher only before one runs and after one is known to be gone.
    """

    state: State = "pending"
    reason: str | None = None
    failure: FailureKind | None = None
    cause: str | None = None
    """What ended the latest attempt of a trial that waits for its next one, or failed."""
    attempt: int = 0
    """Number of times a job has started this trial."""
    step: int = 0
    total_steps: int | None = None
    epoch: float = 0.0
    heartbeat_unix_s: float | None = None
    started_unix_s: float | None = None
    finished_unix_s: float | None = None
    pid: int | None = None
    hostname: str | None = None
    train_images_per_s: float | None = None
    train_loss: float | None = None
    eta_s: float | None = None
    """Predicted seconds until training ends."""
    val_top1: float | None = None
    """Latest evaluation; a progress figure, not a result."""
    repeated_steps: int = 0
    """Steps that had to be trained again, over all attempts: no checkpoint held them. Up to a
    heartbeat's worth of steps of each lost attempt is not counted."""
    energy_j: float | None = None
    """Drawn by the devices that trained it, over all attempts, lost work and evaluation included;
    an equal share where several trials train side by side. Null: cannot be read."""
    energy_source: EnergySource | None = None
    """Where `energy_j` was read."""
    unreadable_images: int = 0
    """Images that could not be read so far."""
    first_unreadable: str | None = None
    """The path of one of them."""


class HeadMetrics(Record):
    """Accuracy of one head or one weight set on val."""

    top1: float | None
    top5: float | None
    loss: float | None


class SummaryRecord(Record):
    """summary.json: the result, written once, when training has ended. Values of the LAST epoch."""

    trial_id: str
    epochs: float
    steps: int
    val_images: int
    """Images the accuracies were measured on."""
    val_top1: float | None
    """Fused heads (class head alone where no distillation head was trained), in percent."""
    val_top5: float | None
    val_loss: float | None
    val_top1_cls: float | None
    val_top1_dist: float | None = None
    val_ema_top1: float | None = None
    val_real_top1: float | None = None
    """On the ReaL labels of ImageNet's val (arXiv 2006.07159)."""
    val_v2_top1: float | None = None
    """On ImageNet-V2 (arXiv 1902.10811)."""
    train_loss: float | None
    train_images: int
    num_classes: int
    parameters: int
    teacher_val_top1: float | None = None
    unreadable_images: int = 0
    skipped_steps: int = 0
    """fp16: optimiser steps skipped because a gradient overflowed."""
    cohort_size: int = 1
    """Trials trained side by side in the job; throughput is not comparable across sizes."""
    world_size: int = 1
    """Processes that trained it together in its last attempt."""
    train_s: float
    """Wall time of training steps over all attempts, evaluation excluded."""
    finished_unix_s: float

    @property
    def fuses(self) -> bool:
        """Whether both heads were trained, so that they predict together."""
        return self.val_top1_dist is not None


Weights = Literal["last", "ema"]
"""Which weights of a run: those of its last step, or their exponential moving average."""

HeadName = Literal["cls", "dist", "fused"]


class DecisionMakerRecord(Record):
    """What one head of a run, or the teacher, decides on val."""

    name: str
    """What it is called in the comparison."""
    top1: float
    top5: float
    loss: float | None
    """Mean cross-entropy to the labels."""
    disagreement: dict[str, float]
    """Share (0-1) of the images on which another decision maker's top-1 differs, by its name."""


class TokenCosine(Record):
    """Likeness of class and distillation token at one place in the network."""

    place: str
    """`learned`, `input`, `block 1` ..., `norm`; docs/analysis.md says what they are."""
    cosine: float | None
    """Cosine similarity, the mean over the images."""


class AnalysisRecord(Record):
    """analysis.json: who decides like whom. Names in `disagreement` are those of one invocation."""

    trial_id: str
    name: str
    weights: Weights
    images: int
    """Images of val that were looked at, by all decision makers of the invocation."""
    unreadable_images: int
    decision_makers: tuple[str, ...]
    """Everyone who was compared, in order: `ground truth`, teachers, heads of each run."""
    heads: dict[HeadName, DecisionMakerRecord]
    """`cls` alone where the run has one trained head; else `cls`, `dist` and `fused`."""
    teacher: DecisionMakerRecord | None = None
    teacher_missing: str | None = None
    """Why there is no teacher in the comparison."""
    token_cosine: tuple[TokenCosine, ...] | None = None
    token_cosine_missing: str | None = None
    """Why there is no likeness of tokens."""
    finished_unix_s: float


class ExportRecord(Record):
    """What an exported model is and which images it takes; inside every exported file, as JSON."""

    trial_id: str
    name: str
    weights: Weights
    model: dict[str, Any]
    """Section `model` of the resolved config, with what the fused output needs."""
    num_classes: int
    class_names: tuple[str, ...] | None
    """Name of each output; null where the data was not at hand."""
    in_chans: int
    """1: grey, 3: RGB."""
    img_size: int
    """The model takes (B, in_chans, img_size, img_size), float32, normalised."""
    mean: tuple[float, ...]
    """Per channel, to subtract from values in [0, 1]."""
    std: tuple[float, ...]
    """Per channel, to divide by after that."""
    resize_shorter_side: int | None
    """Bicubic resize before the centre crop of img_size; null: the whole image to the square."""
    class_head_only: bool
    """Whether there is a distillation head that was never trained: in the file it is zero and the
    class head twice as large, so that their mean is the class head's answer."""
    output: Literal["logits", "log_probabilities"]
    """What the model gives for each class, (B, num_classes)."""
    val_top1: float | None
    """Accuracy of these weights in training's last evaluation, in percent."""
    val_images: int


class PlannedTrial(Record):
    """One trial of a sweep as its plan knows it, run or not."""

    trial_id: str
    group_id: str
    name: str
    role: Literal["student", "teacher"] = "student"
    seed: int
    swept: dict[str, Any] = {}


class PlanRecord(Record):
    """plan.json of a sweep folder: every trial that belongs to the sweep, in plan order."""

    sweep: str
    description: str = ""
    sweep_hash: str
    created_utc: str
    command: str = ""
    source: str = ""
    """Path of the sweep file as given."""
    axes: tuple[str, ...] = ()
    """Swept fields in the order of the file."""
    trials: tuple[PlannedTrial, ...] = ()
    notes: tuple[str, ...] = ()
    """What the planner says, such as axes that have no effect."""
    resources: dict[str, Any] = {}
    """`resources` of the sweep file, for commands that start trials without reading it again."""
    throttled: bool = False
    """Whether their `max_parallel` is what `throttle` said; a later `sweep` keeps it then."""
    backend: str | None = None
    """Where the latest `sweep` started its trials."""
    pruner: dict[str, Any] | None = None
    """How its trials are compared (deit_core.pruning.PrunerRecord); null where none is pruned."""
    bench: dict[str, Any] | None = None
    """`bench` of the sweep file: how its models are measured; null where that is not asked for."""


def finite(value: float | None) -> float | None:
    """The number as records store it: null where it is not finite."""
    return value if value is not None and math.isfinite(value) else None
