"""Cores are what was granted, not what the machine has."""

from __future__ import annotations

from pathlib import Path

import pytest

from deit_core import cores


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4.0),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
    ids=["v2", "v2 unlimited", "v1", "v1 unlimited", "none"],
)
def test_a_cgroup_quota_is_read(tmp_path: Path, files: dict[str, str], quota: float | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cores._cgroup_quota(tmp_path) == quota


def test_the_quota_caps_the_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda pid: set(range(16)))
    for quota, expected in ((None, 16), (2.5, 2), (0.3, 1), (99.0, 16)):
        monkeypatch.setattr(cores, "_cgroup_quota", lambda quota=quota: quota)
        assert cores.granted_cores() == expected


def test_a_job_has_the_cores_its_launcher_gave_it() -> None:
    assert cores.job_cores({"OMP_NUM_THREADS": "3"}) == 3
    for unset in ({}, {"OMP_NUM_THREADS": ""}, {"OMP_NUM_THREADS": "many"}):
        assert cores.job_cores(unset) == cores.granted_cores()
