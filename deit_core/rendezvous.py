"""How the processes of a job find each other: what they and their starter say. Torch-free.

The starter of a job listens on a port that the operating system gave it, for as long as the job
runs, and hands its address and a secret to every process as DEIT_RENDEZVOUS. Each process tells it
where it is; the first also says where its store of torch.distributed listens, on a port that the
operating system gave as well. When all have come, each is told where the first one is. No port is
ever chosen by a rule, so neither two jobs of a machine nor two attempts of a job can meet by
mistake, and the secret keeps out whoever asks at a port that used to be another's.

A question and its answer are one line of JSON each, on one connection.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from deit_core.errors import UserError

VARIABLE = "DEIT_RENDEZVOUS"
GPU_BOUND_VARIABLE = "DEIT_GPU_BOUND"
"""Set to 1 where each process sees one GPU alone, its own, whatever its LOCAL_RANK."""
RANK_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", VARIABLE, GPU_BOUND_VARIABLE)
"""What makes a process one of several; a job that is started from inside another drops them."""

MEETING_S = 300.0
"""How long processes wait for those that have not come: nodes of a job start unevenly."""

LINE_BYTES = 1 << 16
"""No question and no answer is longer."""


@dataclass(frozen=True)
class ServiceAddress:
    """Where the starter of a job listens; `hosts` are names and addresses, the likeliest first."""

    hosts: tuple[str, ...]
    port: int
    token: str

    def __str__(self) -> str:
        return f"{','.join(self.hosts)}:{self.port}/{self.token}"

    @classmethod
    def parse(cls, text: str) -> ServiceAddress:
        """Read what `str` wrote.

        Raises:
            UserError: it is none.
        """
        address, _, token = text.partition("/")
        hosts, _, port = address.rpartition(":")
        if not (hosts and port.isdigit() and token):
            raise UserError(
                f"{VARIABLE} is {text!r}, not host,host:port/token; unset it, "
                f"or start the processes with python -m launcher.gang"
            )
        return cls(tuple(hosts.split(",")), int(port), token)


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def encode(self) -> bytes:
        """One line of JSON."""
        return self.model_dump_json().encode() + b"\n"


class Arrival(_Line):
    """What a process tells the starter."""

    token: str
    rank: int
    machine: str
    """deit_core.network.machine_id of its machine."""
    addresses: tuple[str, ...]
    """Where its machine may be reached, the likeliest first."""
    port: int = 0
    """Port of the store; the first process's alone."""


class Meeting(_Line):
    """What the starter answers."""

    missing: tuple[int, ...] = ()
    """Ranks that did not come in time; empty when all are there."""
    machine: str = ""
    """The first process's."""
    addresses: tuple[str, ...] = ()
    port: int = 0
    elsewhere: str | None = None
    """An address of a process on another machine than the asker's; None when all share one."""
