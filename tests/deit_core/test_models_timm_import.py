"""timm imports whether torchvision's compiled operators load or not."""

from __future__ import annotations

import subprocess
import sys

import pytest

WITHOUT_OPERATORS = """
import torch
def refuse(path):
    raise OSError(f"{path}: cannot open shared object file")
torch.ops.load_library = refuse
"""
# Declares what torchvision's own library would: the names are then taken.
WITH_OPERATORS = f"""{WITHOUT_OPERATORS}
own = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    own.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""
USE = """
from deit_core.models.timm_import import timm
from torchvision import transforms
model = timm.create_model("resnet10t", num_classes=3)
assert transforms.CenterCrop(2)(torch.zeros(1, 4, 4)).shape == (1, 2, 2)
assert "Identity" not in timm.data.auto_augment.NAME_TO_OP
"""


@pytest.mark.parametrize("situation", [WITHOUT_OPERATORS, WITH_OPERATORS], ids=["without", "with"])
def test_timm_and_torchvision_work(situation: str) -> None:
    command = [sys.executable, "-W", "error", "-c", situation + USE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
