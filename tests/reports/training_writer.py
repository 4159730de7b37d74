"""What training leaves beside the summary: evaluations, attempts, analyses, a search's files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sweep_writer import START

from deit_core.attempts import AttemptRecord
from deit_core.records import AnalysisRecord, DecisionMakerRecord, TokenCosine
from deit_core.run_dir import RunDir, write_json

STEPS_PER_EPOCH = 18
"""720 steps in 40 epochs, as sweep_writer's trials have."""
BEGAN = START + 300_000.0
"""After sweep_writer's plan was made."""


def write_curve(run: RunDir, top1: Sequence[float], epochs_apart: float = 10.0) -> None:
    """Evaluations at equal distances."""
    for index, value in enumerate(top1, start=1):
        epoch = index * epochs_apart
        run.append_metrics(
            {"kind": "eval", "epoch": epoch, "step": round(epoch * STEPS_PER_EPOCH),
             "val_top1": value, "train_loss": 1.0, "unix_s": START + 10 * index}
        )  # fmt: skip


def write_attempts(run: RunDir, *attempts: Mapping[str, Any]) -> None:
    """Attempts in order; start and end in seconds after BEGAN."""
    run.job_dir.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, values in enumerate(attempts, start=1):
        known = {"number": number, "tag": f"{run.path.name}-{number}", "backend": "local", **values}
        start, end = known.pop("start"), known.pop("end", None)
        record = AttemptRecord(
            started_unix_s=BEGAN + start, ended_unix_s=None if end is None else BEGAN + end, **known
        )
        lines.append(record.model_dump_json())
    run.attempts_file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_analyses(
    runs: Mapping[str, RunDir], shares: Mapping[frozenset[str], float], teacher: str | None
) -> None:
    """Analyses made together.

    Args:
        runs: by name; a name that ends in `*` has three heads.
        shares: disagreement of each pair of decision makers.
        teacher: its name.
    """
    makers = ["ground truth", *([teacher] if teacher else [])]
    for name in runs:
        makers += (
            [f"{name[:-1]}/{head}" for head in ("cls", "dist", "fused")]
            if (name.endswith("*"))
            else [name]
        )

    def record(maker: str) -> DecisionMakerRecord:
        known = {other: shares[frozenset({maker, other})] for other in makers
                 if frozenset({maker, other}) in shares}  # fmt: skip
        return DecisionMakerRecord(name=maker, top1=80.0, top5=95.0, loss=1.0, disagreement=known)

    for name, run in runs.items():
        heads: dict[Any, DecisionMakerRecord] = (
            {head: record(f"{name[:-1]}/{head}") for head in ("cls", "dist", "fused")}
            if name.endswith("*")
            else {"cls": record(name)}
        )
        run.write_analysis(
            AnalysisRecord(
                trial_id=run.path.name, name=name, weights="last", images=500,
                unreadable_images=0, decision_makers=tuple(makers), heads=heads,
                teacher=record(teacher) if teacher and name.endswith("*") else None,
                token_cosine=(
                    TokenCosine(place="input", cosine=0.1),
                    TokenCosine(place="block 1", cosine=0.4),
                    TokenCosine(place="norm", cosine=0.9),
                ),
                finished_unix_s=START,
            )
        )  # fmt: skip


def write_search(
    sweep: Path, points: Sequence[tuple[Mapping[str, Any], Sequence[str]]], **search: Any
) -> None:
    """search/: points with their trial ids, in the order of asking."""
    fields = list(dict.fromkeys(field for params, _ in points for field in params))
    space = [
        {"field": field, "range": {"low": 0.0, "high": 1.0, "log": False, "int": False,
         "step": None}, "choices": [], "when": {}}
        for field in fields
    ]  # fmt: skip
    values = {"method": "tpe", "trials": len(points), "seed": 0, "objective": ["val_top1"],
              "direction": None, "constraints": [], "warm_start": False, "pruner": None,
              **search}  # fmt: skip
    folder = sweep / "search"
    (folder / "points").mkdir(parents=True)
    write_json(
        folder / "search.json",
        {"schema_version": 1, "name": "quick", "source": "s.yaml", "search": values,
         "space": {"parameters": space}, "config": {}, "teacher": None, "seeds": [0], "warm": [],
         "cwd": "/"},
    )  # fmt: skip
    for number, (params, ids) in enumerate(points):
        point = {"schema_version": 1, "number": number, "params": dict(params),
                 "trial_ids": list(ids), "asked_unix_s": START, "asked_by": "node1:1"}  # fmt: skip
        (folder / "points" / f"{number:06d}.json").write_text(json.dumps(point))
