"""imported.json: a run that another program trained, as far as its files tell. Torch-free.

It stands in a run directory instead of config.json and summary.json, which a run of this package
always has in full: what the files do not say is null or absent here, and never a default.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from deit_core.records import Record

IMPORTED_FILE = "imported.json"

Program = Literal["tensorboard", "timm", "deit"]
"""Event files of any program, timm's summary.csv, or log.txt of facebookresearch/deit."""


class ImportedSummary(Record):
    """The result of an imported run: values of its LAST epoch. Named as in a SummaryRecord."""

    trial_id: str
    epochs: float | None = None
    steps: int | None = None
    val_images: int | None = None
    val_top1: float | None = None
    val_top5: float | None = None
    val_loss: float | None = None
    val_top1_cls: float | None = None
    val_top1_dist: float | None = None
    val_ema_top1: float | None = None
    val_real_top1: float | None = None
    val_v2_top1: float | None = None
    train_loss: float | None = None
    train_images: int | None = None
    num_classes: int | None = None
    parameters: int | None = None
    teacher_val_top1: float | None = None
    unreadable_images: int = 0
    """None is known of; kept so that a report can ask every result alike."""
    cohort_size: int | None = None
    world_size: int | None = None
    train_s: float | None = None
    finished_unix_s: float | None = None

    @property
    def fuses(self) -> bool:
        """Whether two heads are known to predict together: of an imported run, never."""
        return False


class ImportedRecord(Record):
    """Where an imported run came from, what is known of its settings, and its result."""

    trial_id: str
    program: Program
    source: str
    """Path of its folder or file, as given."""
    files: tuple[str, ...] = ()
    """Names of the files that were read."""
    metric: str
    """Column, key or tag that was taken for top-1 accuracy."""
    seed_known: bool = False
    """Whether its seed was written down; else it is numbered in the order of import."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Values by dotted config field, of those that are known."""
    stated: tuple[str, ...] = ()
    """Names of what the user stated at import, as no file says it."""
    notes: tuple[str, ...] = ()
    """What was left out, and what a number means, in words."""
    summary: ImportedSummary
