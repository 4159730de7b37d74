"""A factory of sweep folders, written through RunDir and the records as a sweep writes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deit_core.config import parse_run_config
from deit_core.records import (
    EnvRecord,
    PlannedTrial,
    PlanRecord,
    StatusRecord,
    SummaryRecord,
    TrialRecord,
)
from deit_core.run_dir import RunDir, write_json

START = 1_795_000_000.0
CONFIG = {
    "data": {"source": "digits", "train_images": 300},
    "model": {"name": "deit_tiny_distilled_patch16_224", "img_size": 8, "patch_size": 2},
    "train": {"duration": "40ep", "global_batch_size": 16},
}
SWEEP_YAML = "name: quick\naxes:\n  distill.kind: [none, soft, hard]\nseeds: [0, 1, 2]\n# <b>&\n"

KindsWriter = Callable[..., Path]

Outcome = float | str
"""A top-1 accuracy, or the state of a trial without one."""


def digest(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass
class SweepWriter:
    """Builds one sweep folder."""

    path: Path
    name: str = "quick"
    planned: list[PlannedTrial] = field(default_factory=list)
    env: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)

    def variant(self, swept: Mapping[str, Any], outcomes: Sequence[Outcome]) -> list[RunDir]:
        """One variant; the seeds are 0, 1, ... in order of `outcomes`."""
        return [self.trial(swept, seed, outcome) for seed, outcome in enumerate(outcomes)]

    def teacher(self, outcome: Outcome) -> RunDir:
        return self.trial({}, 0, outcome, role="teacher")

    def trial(
        self,
        swept: Mapping[str, Any],
        seed: int,
        outcome: Outcome,
        role: str = "student",
        reason: str = "the training loss became nan",
    ) -> RunDir:
        group = digest(role, dict(swept))
        trial_id = digest(group, seed)
        text = ",".join(f"{k.rpartition('.')[2]}={v}" for k, v in swept.items() if v is not None)
        name = "teacher" if role == "teacher" else f"{text},seed={seed}".lstrip(",")
        record = TrialRecord(
            trial_id=trial_id, group_id=group, name=name, role=role, seed=seed, swept=dict(swept)
        )
        fields = set(PlannedTrial.model_fields)
        self.planned.append(PlannedTrial(**record.model_dump(include=fields)))
        run_dir = RunDir(self.path / "trials" / trial_id)
        if outcome != "missing":
            run_dir.create(record, parse_run_config(CONFIG | {"seed": seed}))
            self._run(run_dir, trial_id, outcome, reason)
        return run_dir

    def _run(self, run_dir: RunDir, trial_id: str, outcome: Outcome, reason: str) -> None:
        index = len(self.planned)
        common = {"attempt": 1, "total_steps": 720, "started_unix_s": START + index}
        if outcome == "pending":
            return
        self.write_env(run_dir)
        if isinstance(outcome, str):
            extra: dict[str, Any] = {"step": 120}
            if outcome == "failed":
                extra |= {"failure": "diverged", "reason": reason}
            run_dir.write_status(StatusRecord(state=outcome, **common, **extra))
            return
        run_dir.write_status(StatusRecord(state="completed", step=720, **common))
        run_dir.write_summary(self._summary(trial_id, outcome, START + 100 + index))

    def _summary(self, trial_id: str, top1: float, finished: float) -> SummaryRecord:
        values: dict[str, Any] = {
            "trial_id": trial_id, "epochs": 40.0, "steps": 720, "val_images": 360,
            "val_top1": top1, "val_top5": 99.0, "val_loss": 0.5, "val_top1_cls": top1 - 0.5,
            "val_top1_dist": top1 - 0.25, "train_loss": 0.9, "train_images": 300,
            "num_classes": 10, "parameters": 201_234, "train_s": 9.25,
            "finished_unix_s": finished,
        }  # fmt: skip
        return SummaryRecord(**(values | self.summary))

    def write_env(self, run_dir: RunDir) -> None:
        values: dict[str, Any] = {
            "python": "3.11.7", "platform": "Linux", "hostname": "node1", "device": "cpu",
            "device_name": "CPU", "threads": 1, "versions": {"torch": "2.13.0", "timm": "1.0.31"},
            "git_sha": "0123456789abcdef0123456789abcdef01234567", "git_dirty": False,
        }  # fmt: skip
        run_dir.write_env(EnvRecord(**(values | self.env)))

    def finish(
        self, axes: Sequence[str] | None = None, description: str = "Does distillation help?"
    ) -> Path:
        """Write plan.json and sweep.yaml; returns the folder."""
        if axes is None:
            axes = list(dict.fromkeys(axis for trial in self.planned for axis in trial.swept))
        plan = PlanRecord(
            sweep=self.name, description=description, sweep_hash="abcd1234",
            created_utc="2026-11-21T14:00:00Z", command="deit-launch sweep sweeps/quick.yaml",
            source="sweeps/quick.yaml", axes=tuple(axes), trials=tuple(self.planned),
        )  # fmt: skip
        write_json(self.path / "plan.json", plan.model_dump(mode="json"))
        (self.path / "sweep.yaml").write_text(SWEEP_YAML, encoding="utf-8")
        return self.path
