"""The command lines of a cluster's programs; all daemons stay in the foreground."""

from __future__ import annotations

from slurm_cluster.conf import Layout

_SMALL_LOG = "--innodb-log-file-size=8M"  # 96 MiB by default, for each cluster of each test session


def munged(layout: Layout) -> list[str]:
    """The daemon by which SLURM's parts prove who they are; `--force` as it may run as root."""
    return [
        *("munged", "--foreground", "--force", "--num-threads=10"),
        f"--socket={layout.munge_socket}",
        f"--key-file={layout.munge_key}",
        f"--pid-file={layout.folder}/munged.pid",
        f"--seed-file={layout.folder}/munged.seed",
        f"--log-file={layout.logs}/munged.log",
    ]


def mariadb_install(layout: Layout) -> list[str]:
    """Make an empty database; under a second, so it is not worth a cache."""
    return [
        *("mariadb-install-db", "--no-defaults", "--user=root", "--skip-test-db", _SMALL_LOG),
        f"--datadir={layout.mariadb_data}",
    ]


def mariadbd(layout: Layout) -> list[str]:
    """The accounting daemon's database: only on its socket, and in no need to survive a crash."""
    return [
        *("mariadbd", "--no-defaults", "--user=root", "--skip-grant-tables", "--skip-networking"),
        *("--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=0", _SMALL_LOG),
        f"--datadir={layout.mariadb_data}",
        f"--socket={layout.mariadb_socket}",
        f"--pid-file={layout.folder}/mariadbd.pid",
    ]


def slurmdbd() -> list[str]:
    """The accounting daemon; it reads slurmdbd.conf beside slurm.conf."""
    return ["slurmdbd", "-D"]


def slurmctld() -> list[str]:
    """The controller."""
    return ["slurmctld", "-D"]


def slurmd(node: str) -> list[str]:
    """A node's daemon."""
    return ["slurmd", "-D", "-N", node]
