"""The one door to timm: `from deit_core.models.timm_import import timm`.

timm imports torchvision, and torchvision does not import where its compiled operators do not load,
as with PyPI's torchvision (linked against CUDA) beside a CPU-only torch (pytorch/vision issue
9085). Its transforms and models need none of these operators, only that they are declared.
"""

from __future__ import annotations

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[torch.library.Library] = []
"""Keeps the declarations alive: they vanish with the Library object."""


def _import_torchvision() -> None:
    """Import torchvision, declaring the operators it asks for if it has none of its own."""
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for name in ("nms", "qnms"):
            library.define(f"{name}{_SCHEMA}")  # type: ignore[no-untyped-call]
        _declared.append(library)
        import torchvision  # noqa: F401


_import_torchvision()

import timm  # noqa: E402 - torchvision first
import timm.data  # noqa: E402

__all__ = ["timm"]
