"""The configuration files of a cluster, from its options: pure functions to text."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from slurm_cluster.options import ClusterOptions

CLUSTER_NAME = "test"
ACCOUNT = "vision"
ACCOUNTS = (
    f"add cluster {CLUSTER_NAME}",
    f"add account {ACCOUNT} cluster={CLUSTER_NAME}",
    "add qos limited set MaxSubmitJobsPerUser=20",
    f"add user root account={ACCOUNT} defaultaccount={ACCOUNT}",
    "modify user root set qos=normal,limited defaultqos=normal",
)
"""Arguments of sacctmgr: root's account, and the QOS that it may use."""


@dataclass(frozen=True)
class Layout:
    """Where a cluster's files lie and which ports of the loopback interface are its own."""

    folder: Path
    controller_port: int
    database_port: int
    node_ports: tuple[int, ...]

    @property
    def slurm_conf(self) -> Path:
        return self.folder / "slurm.conf"

    @property
    def slurmdbd_conf(self) -> Path:
        return self.folder / "slurmdbd.conf"

    @property
    def gres_conf(self) -> Path:
        return self.folder / "gres.conf"

    @property
    def plugstack_conf(self) -> Path:
        return self.folder / "plugstack.conf"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def logs(self) -> Path:
        return self.folder / "log"

    @property
    def munge_socket(self) -> Path:
        return self.folder / "munge.socket"

    @property
    def munge_key(self) -> Path:
        return self.folder / "munge.key"

    @property
    def mariadb_data(self) -> Path:
        return self.folder / "mariadb"

    @property
    def mariadb_socket(self) -> Path:
        return self.folder / "mariadb.socket"

    def gpu(self, index: int) -> Path:
        """The file that stands for a GPU of every node."""
        return self.folder / f"nvidia{index}"


def slurm_conf(layout: Layout, options: ClusterOptions) -> str:
    """slurm.conf: the controller, the nodes and the partitions.

    Times are short, so that tests see a lost node or a requeued job come back within seconds:
    a requeued job waits for the life of its credential (cred_expire, 120 s by default).
    """
    host = socket.gethostname().split(".")[0]
    folder = layout.folder
    lines = [
        f"ClusterName={CLUSTER_NAME}",
        f"SlurmctldHost={host}(127.0.0.1)",
        f"SlurmctldPort={layout.controller_port}",
        "SlurmUser=root",
        "SlurmdUser=root",
        f"AuthInfo=socket={layout.munge_socket},cred_expire=5",
        f"StateSaveLocation={layout.state}",
        f"SlurmdSpoolDir={folder}/spool-%n",
        f"SlurmctldPidFile={folder}/slurmctld.pid",
        f"SlurmdPidFile={folder}/slurmd-%n.pid",
        f"PlugStackConfig={layout.plugstack_conf}",
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "MpiDefault=none",
        "JobAcctGatherType=jobacct_gather/linux",
        "JobAcctGatherFrequency=task=2",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_Core_Memory",
        "DefMemPerCPU=100",
        "SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=50000,bf_interval=1",
        "SlurmdParameters=config_overrides",
        *(
            ["SlurmctldParameters=preempt_send_user_signal"]
            if options.preempt_send_user_signal
            else []
        ),
        "PreemptType=preempt/partition_prio",
        "PreemptMode=REQUEUE",
        "JobRequeue=1",
        "ReturnToService=2",
        "SlurmdTimeout=6",
        "MessageTimeout=5",
        "BatchStartTimeout=10",
        "UnkillableStepTimeout=30",
        "MinJobAge=20",
        f"KillWait={options.kill_wait_s}",
        "MaxJobCount=20000",
        f"MaxArraySize={options.max_array_size}",
        *_accounting(layout, options),
        *_nodes(layout, options, host),
        *_partitions(options),
        *options.extra,
    ]
    return "\n".join(lines) + "\n"


def gres_conf(layout: Layout, options: ClusterOptions) -> str:
    """gres.conf: the files that stand for GPUs; a `Count=` without files would drain the nodes."""
    return "".join(
        f"NodeName={node} Name=gpu File={layout.gpu(index)}\n"
        for node in options.node_names
        for index in range(options.gpus_per_node)
    )


def slurmdbd_conf(layout: Layout) -> str:
    """slurmdbd.conf: the accounting daemon, on the cluster's own database."""
    return "\n".join(
        [
            f"AuthInfo=socket={layout.munge_socket}",
            "DbdHost=localhost",
            "DbdAddr=127.0.0.1",
            f"DbdPort={layout.database_port}",
            "SlurmUser=root",
            f"PidFile={layout.folder}/slurmdbd.pid",
            "StorageType=accounting_storage/mysql",
            "StorageHost=localhost",
            "StorageUser=root",
            "StorageLoc=slurm_acct_db",
            "CommitDelay=1",
            "",
        ]
    )


def _accounting(layout: Layout, options: ClusterOptions) -> list[str]:
    if not options.accounting:
        return ["AccountingStorageType=accounting_storage/none"]
    return [
        "AccountingStorageType=accounting_storage/slurmdbd",
        "AccountingStorageHost=127.0.0.1",
        f"AccountingStoragePort={layout.database_port}",
        f"AccountingStoragePass={layout.munge_socket}",  # as slurm.conf(5) names munged's socket
        "AccountingStorageEnforce=associations,limits,qos",
        "AccountingStorageTRES=gres/gpu",
        "AccountingStoreFlags=job_comment",
    ]


def _nodes(layout: Layout, options: ClusterOptions, host: str) -> list[str]:
    gres = f" Gres=gpu:{options.gpus_per_node}" if options.gpus_per_node else ""
    return [
        *(["GresTypes=gpu"] if gres else []),
        *(
            f"NodeName={name} NodeAddr=127.0.0.1 NodeHostname={host} Port={port} "
            f"CPUs={options.cpus_per_node} RealMemory={options.memory_mib}{gres} State=UNKNOWN"
            for name, port in zip(options.node_names, layout.node_ports, strict=True)
        ),
    ]


def _partitions(options: ClusterOptions) -> list[str]:
    nodes = f"Nodes={','.join(options.node_names)} State=UP DefaultTime=10:00"
    preempted = f"PriorityTier=1 MaxTime=1-00:00:00 GraceTime={options.grace_time_s}"
    return [
        f"PartitionName=gpu {nodes} Default=YES {preempted} PreemptMode=REQUEUE",
        f"PartitionName=urgent {nodes} PriorityTier=10 PreemptMode=OFF MaxTime=1-00:00:00",
        f"PartitionName=cancelled {nodes} PriorityTier=1 PreemptMode=CANCEL GraceTime=0 "
        "MaxTime=1-00:00:00",
        f"PartitionName=short {nodes} PriorityTier=1 PreemptMode=REQUEUE MaxTime=2:00".replace(
            "DefaultTime=10:00", "DefaultTime=1:00"
        ),
    ]
