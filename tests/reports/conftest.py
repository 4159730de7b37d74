"""Sweep folders to report on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from sweep_writer import KindsWriter, Outcome, SweepWriter


@pytest.fixture
def writer(tmp_path: Path) -> SweepWriter:
    """An empty sweep to fill."""
    return SweepWriter(tmp_path / "runs" / "2026-11-21_quick_abcd")


@pytest.fixture
def kinds(writer: SweepWriter) -> KindsWriter:
    """Write a sweep over distill.kind: `kinds(none=[...], soft=[...], hard=[...])`."""

    def write(*, teacher: Outcome | None = None, **outcomes: Sequence[Outcome]) -> Path:
        if teacher is not None:
            writer.teacher(teacher)
        for kind, values in outcomes.items():
            writer.variant({"distill.kind": kind}, values)
        return writer.finish()

    return write
