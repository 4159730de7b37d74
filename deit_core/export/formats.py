"""The forms in which a model can leave, and the names of their files. Torch-free."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from deit_core.errors import ExportError
from deit_core.records import Weights
from deit_core.run_dir import RunDir

Format = Literal["safetensors", "timm", "onnx", "torch-export"]

SUFFIXES: dict[Format, str] = {
    "safetensors": ".safetensors",
    "timm": ".safetensors",
    "onnx": ".onnx",
    "torch-export": ".pt2",
}
"""Readers, timm's among them, tell formats by these."""


def output_path(
    run: RunDir, form: Format, weights: Weights, *, given: Path | None, force: bool
) -> Path:
    """Where to write: `given`, or a name in the run directory's `export/`.

    Raises:
        ExportError: the suffix is not the format's, or the file exists and may not be replaced.
    """
    stem = ("timm" if form == "timm" else "model") + ("_ema" if weights == "ema" else "")
    path = given if given is not None else run.export_dir / f"{stem}{SUFFIXES[form]}"
    if path.suffix != SUFFIXES[form]:
        raise ExportError(f"{path} is given; give a name that ends in {SUFFIXES[form]}")
    if path.is_dir():
        raise ExportError(f"{path} is a folder; give the name of a file in it")
    if path.exists() and not force:
        raise ExportError(f"{path} exists; replace it with --force, or give another --output")
    return path
