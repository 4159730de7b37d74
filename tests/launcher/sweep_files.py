"""Sweep files for tests: written to a folder, loaded, expanded."""

from pathlib import Path

import pytest

from deit_core.errors import UserError
from launcher.expand import Expansion, expand
from launcher.sweep import load_sweep

DIGITS = "set: {data.source: digits, model: {img_size: 8, patch_size: 2, in_chans: 1}}\n"
"""A valid base in one line, so that line numbers in tests start at 2."""
TAUGHT = (
    "set: {data.source: digits, model: {img_size: 8, patch_size: 2, in_chans: 1}, "
    "teacher: {name: resnet10t, pretrained: true}}\n"
)
TEACHER_CONFIG = "data: {source: digits}\nmodel: {name: resnet10t, img_size: 8, in_chans: 1}\n"


def write(folder: Path, text: str, name: str = "x.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def expand_text(folder: Path, text: str, **options) -> Expansion:
    return expand(load_sweep(write(folder, text), **options))


def error_of(folder: Path, text: str, **options) -> str:
    """The one-line message of a sweep file that is not valid, without the folder's path."""
    with pytest.raises(UserError) as caught:
        expand_text(folder, text, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{folder}/", "")
