"""From a finished run to one file: build, verify, publish."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, assert_never

from torch import nn

from deit_core.export import graph, timm_file
from deit_core.export.describe import describe
from deit_core.export.formats import Format, output_path
from deit_core.export.verify import verify
from deit_core.export.weights_file import weights_file
from deit_core.finished import FinishedRun, load_model, mute_dist_head
from deit_core.models.base import Distilled
from deit_core.records import ExportRecord, Weights
from deit_core.run_dir import write_atomic

TOLERANCE = 1e-5
ONNX_TOLERANCE = 1e-4
"""Largest difference of a logit; onnxruntime sums in another order."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    path: Path
    record: ExportRecord
    load_with: str
    """A line of Python that loads it."""
    notes: tuple[str, ...]
    """What it lacks, or what was not checked."""


class _Made(NamedTuple):
    """A file before it is written."""

    data: bytes
    load_with: str
    notes: tuple[str, ...] = ()


def export_run(
    finished: FinishedRun,
    form: Format,
    *,
    output: Path | None = None,
    weights: Weights = "last",
    force: bool = False,
) -> Exported:
    """Write a run's model in one form. It is compared with the trained model first.

    Args:
        finished: the run.
        form: of the file.
        output: its path; in the run directory's `export/` when None.
        weights: those of the last step, or their moving average.
        force: replace a file that exists.

    Raises:
        UserError: the model cannot take this form, its weights are missing or damaged, a library
            is missing, the file exists, or it cannot be written.
    """
    path = output_path(finished.run, form, weights, given=output, force=force)
    if form == "onnx":
        graph.require_onnx()
    model = load_model(finished, weights)
    if isinstance(model, Distilled) and not finished.fuses:
        mute_dist_head(model)
    record, no_class_names = describe(finished, weights)
    made = _make(finished, form, model, record, path)
    write_atomic(path, made.data)
    notes = made.notes
    if no_class_names is not None:
        notes = (*notes, f"the file has no class names: {no_class_names}")
    return Exported(path, record, made.load_with, notes)


def _make(
    finished: FinishedRun, form: Format, model: nn.Module, record: ExportRecord, path: Path
) -> _Made:
    where = repr(str(path.resolve()))
    match form:
        case "safetensors":
            return _Made(
                weights_file(model, record),
                f"model, record = deit_core.export.load_exported({where})",
            )
        case "timm":
            return _timm(finished, model, record, path)
        case "onnx":
            return _onnx(model, record, where)
        case "torch-export":
            data = graph.torch_export_file(graph.trace(model, record), record)
            verify(model, graph.open_torch_export(data), record, TOLERANCE)
            return _Made(data, f"model = torch.export.load({where}).module()")
    assert_never(form)


def _timm(finished: FinishedRun, model: nn.Module, record: ExportRecord, path: Path) -> _Made:
    name, arguments = finished.config.model.name, timm_file.timm_arguments(finished)
    twin = timm_file.timm_twin(name, arguments)
    twin.load_state_dict(model.state_dict())
    verify(model, twin, record, TOLERANCE)
    return _Made(weights_file(model, record), timm_file.timm_line(name, arguments, path))


def _onnx(model: nn.Module, record: ExportRecord, where: str) -> _Made:
    data = graph.onnx_file(graph.trace(model, record), record)
    load_with = f"session = onnxruntime.InferenceSession({where})"
    if importlib.util.find_spec("onnxruntime") is None:
        return _Made(data, load_with, ("its logits were not compared: no onnxruntime installed",))
    runtime = importlib.import_module("onnxruntime")
    verify(model, graph.OnnxAnswer(runtime, data), record, ONNX_TOLERANCE)
    return _Made(data, load_with)
