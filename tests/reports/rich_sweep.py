"""Sweeps for the tests of the page: one with something for every section, one with hostile text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from sweep_writer import Outcome, SweepWriter
from throughput_writer import record, write_speed

from deit_core.run_dir import RunDir

KINDS = {"none": 78.0, "soft": 80.1, "hard": 81.2}
DEPTHS = {4: -3.0, 6: 0.0, 12: 1.6}
NOISE = (0.31, -0.12, -0.26)
EPOCHS = 40


def rich_sweep(folder: Path) -> Path:
    """Two axes, a teacher, trials that failed and that run, learning curves, throughput."""
    writer = SweepWriter(folder, name="distillation-by-depth")
    writer.teacher(92.5)
    for kind, mean in KINDS.items():
        for depth, more in DEPTHS.items():
            top1s: list[Outcome] = [round(mean + more + noise, 2) for noise in NOISE]
            if (kind, depth) == ("soft", 12):
                top1s[1] = "failed"
            if (kind, depth) == ("none", 4):
                top1s[2] = "running"
            runs = writer.variant({"distill.kind": kind, "model.depth": depth}, top1s)
            _write_curves(runs, top1s)
            rate = 40_000.0 / depth * (0.98 if kind != "none" else 1.0)
            write_speed(runs, record(rate, training=rate / 3.2, key=f"{kind}-{depth}"))
    return writer.finish()


def _write_curves(runs: Sequence[RunDir], top1s: Sequence[Outcome]) -> None:
    for run, last in zip(runs, top1s, strict=True):
        if isinstance(last, str):
            continue
        for epoch in range(1, EPOCHS + 1):
            left = (EPOCHS - epoch) / EPOCHS
            run.append_metrics(
                {
                    "kind": "eval", "epoch": float(epoch), "step": epoch * 18,
                    "unix_s": 1_795_000_000.0 + 10 * epoch, "train_loss": 0.9 + 2 * left,
                    "val_top1": last * (1 - left**4 * 0.8), "val_loss": 0.5 + math.expm1(left),
                }
            )  # fmt: skip


HOSTILE = (
    "<script>document.title='owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "]]></style></script><svg onload=document.title='owned'>",
    "{{ 7 * 7 }} ${7 * 7} &amp; $x_1^2$",
    "turned \u202egnp.exe \u2067round\u2069",
    "n" * 300,
)
"""As a name, a value, a description, a reason."""


def hostile_sweep(folder: Path) -> Path:
    """`HOSTILE` wherever a user's text reaches the report."""
    writer = SweepWriter(folder, name=f"sweep {HOSTILE[0]}", env={"device_name": HOSTILE[1]})
    writer.summary = {"val_images": 360}
    for number, text in enumerate(HOSTILE):
        writer.variant(
            {"distill.kind": "none", f"data.<b>{HOSTILE[1]}": text}, [80.0 + number, 81.0 + number]
        )
        writer.trial(
            {"distill.kind": "hard", f"data.<b>{HOSTILE[1]}": text}, 0, "failed", reason=text
        )
    return writer.finish(description=HOSTILE[2])
