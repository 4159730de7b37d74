"""Tests of search: stand-ins for trainers, and a runs folder whose processes are ended."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "launcher"))  # stand-ins for trainers

from launch_support import kill_everything

from deit_core.source_tree import import_root
from launcher import carry_out


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("DEIT_LOCAL_CPUS", "2")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.chdir(tmp_path)
    # A power cut is another test's; here it would only take time.
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    monkeypatch.setattr(carry_out, "sync_file_system", lambda folder: None)
    monkeypatch.setattr(carry_out, "take_snapshot", lambda runs: import_root())
    folder = tmp_path / "runs"
    folder.mkdir()
    yield folder
    kill_everything(folder)
