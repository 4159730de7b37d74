"""docs/training.md is true: its snippets are valid and run, its fields exist."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest
import torch
import yaml

from deit_core.config import RunConfig, parse_run_config
from deit_core.models import create_model

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")


def test_the_configs_are_valid() -> None:
    snippets = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert snippets
    for snippet in snippets:
        assert parse_run_config(yaml.safe_load(snippet)).finetune is not None


def test_the_fields_exist() -> None:
    fields = {
        f"{section}.{name}"
        for section, field in RunConfig.model_fields.items()
        if hasattr(type(field.get_default(call_default_factory=True)), "model_fields")
        for name in type(field.get_default(call_default_factory=True)).model_fields
    } | {f"teacher.{name}" for name in ("channels_last",)}
    named = re.findall(r"^\| `([a-z_]+\.[a-z_]+)`", PAGE, re.MULTILINE)
    assert len(named) >= 6
    assert set(named) <= fields


def test_the_python_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a file that looks as the authors' does: wrapped, each name prefixed."""
    monkeypatch.chdir(tmp_path)
    state = create_model("cait_xxs24_224").state_dict()
    torch.save(
        {"model": {f"module.{name}": tensor for name, tensor in state.items()}}, "XXS24_224.pth"
    )
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "training.md", "exec"), {})
    assert "resized from 14x14 to 14x20 patches" in printed.getvalue()
    assert "new weights in head" in printed.getvalue()
