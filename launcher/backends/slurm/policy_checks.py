"""What a cluster's configuration means for jobs: preemption, requeueing, GPUs. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from launcher.backends.base import Check
from launcher.backends.slurm.partitions import Partition

_SAVED = "what was trained since the last checkpoint (train.checkpoint_every_s) is lost"
_REQUEUE_GAP_S = 120
"""cred_expire, slurm.conf(5): a requeued job waits for the life of its credential."""


def check_policies(config: Mapping[str, str], partitions: Sequence[Partition]) -> list[Check]:
    """What `scontrol show config` says, for jobs in these partitions."""
    return [
        _preemption(config, partitions),
        _requeue(config),
        _memory_of_jobs(config),
        _isolation(config, partitions),
        _binding(config),
    ]


def _preemption(config: Mapping[str, str], partitions: Sequence[Partition]) -> Check:
    kind = config.get("PreemptType", "").rpartition("/")[2] or "unknown"
    wait_s = _seconds(config.get("KillWait", "30"))
    if kind == "none":
        notice = f"at the time limit SIGTERM comes {wait_s} s before SIGKILL (KillWait)"
        return Check("preemption", True, f"none here; {notice}")
    # A partition's own mode outranks the cluster's.
    mode = config.get("PreemptMode", "")
    modes = {one.preempt_mode for one in partitions if one.preempt_mode} or {mode}
    grace_s = min((one.grace_s for one in partitions), default=0)
    early = "preempt_send_user_signal" in config.get("SlurmctldParameters", "")
    signal = "SIGTERM and the signal of the job (preempt_send_user_signal)" if early else "SIGTERM"
    notice_s = grace_s + wait_s
    said = f"{kind}, {'/'.join(sorted(modes))}; notice: {signal} {notice_s} s before SIGKILL"
    detail = f"{said} (GraceTime {grace_s} s + KillWait {wait_s} s)"
    if notice_s < 1:
        return Check("preemption", True, f"{detail}: {_SAVED}", note=True)
    if "SUSPEND" in "".join(modes):
        return Check("preemption", True, f"{detail}; suspended jobs keep their place", note=True)
    return Check("preemption", True, f"{detail}: trials save within it")


def _requeue(config: Mapping[str, str]) -> Check:
    found = re.search(r"cred_expire=(\d+)", config.get("AuthInfo", ""))
    gap_s = int(found.group(1)) if found else _REQUEUE_GAP_S
    again = f"a job that is queued again may start after {gap_s} s (cred_expire)"
    if config.get("JobRequeue") == "0":
        return Check("requeue", True, f"off by default; jobs here ask for it; {again}")
    return Check("requeue", True, f"on; {again}")


def _memory_of_jobs(config: Mapping[str, str]) -> Check:
    age_s = _seconds(config.get("MinJobAge", "300"))
    has_accounting = not config.get("AccountingStorageType", "").endswith("none")
    said = f"SLURM forgets an ended job after {age_s} s (MinJobAge)"
    if has_accounting or age_s >= 60:
        return Check("ended jobs", True, said)
    return Check("ended jobs", True, f"{said}, and keeps no accounts of it", note=True)


def _isolation(config: Mapping[str, str], partitions: Sequence[Partition]) -> Check:
    """Whether a job can use GPUs that are not its own."""
    if not any(partition.most_gpus for partition in partitions):
        return Check("GPU isolation", True, "there are no GPUs")
    plugins = config.get("TaskPlugin", "")
    constrained = config.get("ConstrainDevices", "").lower()
    if "cgroup" in plugins and constrained == "yes":
        return Check("GPU isolation", True, "by cgroups (ConstrainDevices)")
    why = f"TaskPlugin is {plugins or 'unknown'}, ConstrainDevices {constrained or 'not shown'}"
    said = f"{why}: jobs only agree on GPUs by CUDA_VISIBLE_DEVICES; those of others may not"
    return Check("GPU isolation", True, said, note=True)


def _binding(config: Mapping[str, str]) -> Check:
    plugins = config.get("TaskPlugin", "")
    if "affinity" in plugins or "cgroup" in plugins:
        return Check("core binding", True, plugins)
    said = f"TaskPlugin is {plugins or 'unknown'}: cores of a node are not kept apart between jobs"
    return Check("core binding", True, said, note=True)


def _seconds(text: str) -> int:
    """Of `30 sec`."""
    found = re.match(r"\d+", text)
    return int(found.group()) if found else 0
