"""Which of a cluster's limits on queued jobs counts, and for which jobs."""

import getpass

import pytest

from launcher.backends.slurm.bounds import Bound
from launcher.backends.slurm.limits import Limits, read_limits
from launcher.errors import LaunchError
from launcher.resources import Resources

CONFIG = "ClusterName = here\nMaxArraySize = 1001\nAccountingStorageEnforce = limits\n"
DEFAULT = "show user where name={user} format=DefaultAccount"
ASSOCIATION = (
    "show associations where user={user} account={account} cluster=here "
    "format=Partition,QOS,DefaultQOS,MaxSubmit,GrpSubmit"
)
QOS = "show qos where name={names} format=Name,Flags,MaxSubmitPU,MaxSubmitPA,GrpSubmit"


@pytest.fixture
def put(tmp_path, monkeypatch):
    """Puts programs on the PATH that answer what they are asked for by a table."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def put(name, answers):
        cases = [f"*'{asked}') printf '%s' '{answer}';;" for asked, answer in answers.items()]
        script = "\n".join(["#!/bin/sh", 'case "$*" in', *cases, "esac"])
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)

    return put


@pytest.fixture
def cluster(put):
    """Describes a cluster: associations by account, its qualities of service, gpu's own."""

    def describe(associations, qos=None, of_partition="N/A", config=CONFIG):
        user = getpass.getuser()
        gpu = f"PartitionName=gpu Default=YES QoS={of_partition} State=UP\n"
        put("scontrol", {"show config": config, "show partition": gpu})
        answers = {DEFAULT.format(user=user): "vision\n"}
        for account, rows in associations.items():
            answers[ASSOCIATION.format(user=user, account=account)] = rows
        for names, rows in (qos or {}).items():
            answers[QOS.format(names=names)] = rows
        put("sacctmgr", answers)

    return describe


def bounds(**asked):
    return list(read_limits(Resources(**asked)).bounds)


def test_a_job_that_names_no_qos_has_the_one_of_its_account(cluster):
    cluster({"vision": "|long,short|short||\n"}, {"short": "short||20||\n"})
    assert bounds() == [Bound(20, "QOS short", ("--me", "--qos=short"))]


def test_where_there_is_one_qos_only_that_is_it(cluster):
    cluster({"vision": "|short|||\n"}, {"short": "short|||30|\n"})
    assert bounds() == [Bound(30, "QOS short", ("--account=vision", "--qos=short"))]


def test_the_qos_of_a_partition_goes_before_that_of_the_job(cluster):
    both = {"short,part": "short||20||\npart||7||99\n"}
    cluster({"vision": "||short||\n"}, both, "part")
    assert bounds() == [
        Bound(7, "QOS part", ("--me", "--partition=gpu")),
        Bound(99, "QOS part", ("--partition=gpu",)),
    ]
    cluster(
        {"vision": "||short||\n"}, {"short,part": "short|OverPartQOS|20||\npart||7||\n"}, "part"
    )
    assert bounds() == [Bound(20, "QOS short", ("--me", "--qos=short"))]


def test_the_limits_of_another_account_or_partition_do_not_count(cluster):
    cluster({"vision": "|||5|\n", "other": "|||50|\nfast|||3|\n"})
    assert bounds(account="other") == [Bound(50, "account other", ("--me", "--account=other"))]


def test_limits_that_are_not_enforced_are_none(cluster):
    cluster({"vision": "|||5|\n"}, config=CONFIG.replace("limits", "associations"))
    assert bounds() == []


def test_where_there_is_no_room_at_all_that_is_said(put):
    limits = Limits(bounds=(Bound(3, "QOS short", ("--me", "--qos=short")),))
    put("squeue", {"--me --qos=short": "wrap\nwrap\n"})
    assert limits.room("mine") == 1
    put("squeue", {"--me --qos=short": "wrap\nwrap\nwrap\n"})
    with pytest.raises(LaunchError, match=r"3 are in the queue, and QOS short allows 3; try"):
        limits.room("mine")
    put("squeue", {"--me --qos=short": "wrap\nwrap\nmine.0a1b\n"})
    assert limits.room("mine") == 1
