"""The processes' end of a rendezvous: from DEIT_RENDEZVOUS to a store that all of them share."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, MutableMapping
from datetime import timedelta

from pydantic import ValidationError
from torch._C._distributed_c10d import Store, TCPStore  # typed only here

from deit_core.errors import LostProcessError
from deit_core.network import interfaces, local_address_towards, machine_id, own_addresses, resolve
from deit_core.rendezvous import (
    LINE_BYTES,
    MEETING_S,
    VARIABLE,
    Arrival,
    Meeting,
    ServiceAddress,
)

_CONNECT_S = 3.0
"""For one address: one of another network swallows the question without a word."""
_PATIENCE_S = 30.0
"""For all addresses together, again and again: networks of nodes hiccup."""
_PAUSE_S = 0.5
_ANSWER_MARGIN_S = 30.0
_GLOO_INTERFACE = "GLOO_SOCKET_IFNAME"


def open_store(environ: MutableMapping[str, str], rank: int, world: int) -> Store:
    """Meet the other processes of the job; returns the store that `init_process_group` takes.

    Args:
        environ: has DEIT_RENDEZVOUS; gets GLOO_SOCKET_IFNAME where it is not set, as gloo would
            else take the interface that the machine's own name resolves to, if to any.
        rank: which of the processes this one is; the first one holds the store.
        world: how many they are.

    Raises:
        UserError: DEIT_RENDEZVOUS is malformed.
        LostProcessError: the starter does not answer, or not all processes came in time.
    """
    service = ServiceAddress.parse(environ[VARIABLE])
    proof = f"deit/{service.token}"
    store: Store | None = None
    port = 0
    if rank == 0:
        held = _tcp_store("127.0.0.1", 0, leads=True)
        held.set(proof, "")
        store, port = held, held.port
    arrival = Arrival(
        token=service.token,
        rank=rank,
        machine=machine_id(),
        addresses=own_addresses(),
        port=port,
    )
    meeting = _ask(service, arrival)
    if meeting.missing:
        names = ", ".join(map(str, meeting.missing))
        raise LostProcessError(
            f"of {world} processes, {names} did not come to the meeting in time; "
            f"their own messages, or the scheduler's, say why"
        )
    interface = _interface(meeting)
    if interface is not None:
        environ.setdefault(_GLOO_INTERFACE, interface)
    return store or _join(meeting, arrival.machine, proof)


def _ask(service: ServiceAddress, arrival: Arrival) -> Meeting:
    """The starter's answer, from the first of its addresses that gives one."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        for address in _resolved(service.hosts):
            with contextlib.suppress(OSError, ValidationError):
                return _ask_at(address, service.port, arrival)
        if time.monotonic() > deadline:
            raise LostProcessError(
                f"process {arrival.rank} cannot reach what started the job, at any of "
                f"{', '.join(service.hosts)}, port {service.port}; see that the nodes of a job "
                f"may open connections to each other, and that the job was not stopped meanwhile"
            )
        time.sleep(_PAUSE_S)


def _ask_at(address: str, port: int, arrival: Arrival) -> Meeting:
    with socket.create_connection((address, port), _CONNECT_S) as line:
        line.settimeout(MEETING_S + _ANSWER_MARGIN_S)
        line.sendall(arrival.encode())
        with line.makefile("rb") as answers:
            return Meeting.model_validate_json(answers.readline(LINE_BYTES))


def _resolved(hosts: tuple[str, ...]) -> Iterator[str]:
    for host in hosts:
        yield from resolve(host)


def _interface(meeting: Meeting) -> str | None:
    """The network interface that leads to the others; None where it cannot be told."""
    known = interfaces()
    if meeting.elsewhere is None:
        return known.get("127.0.0.1")
    return known.get(local_address_towards(meeting.elsewhere) or "")


def _join(meeting: Meeting, machine: str, proof: str) -> Store:
    """Connect to the first process's store, and to no other that happens to listen there."""
    nearby = machine == meeting.machine
    addresses = ("127.0.0.1", *meeting.addresses) if nearby else meeting.addresses
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        for address in addresses:
            with contextlib.suppress(OSError, RuntimeError):  # torch's errors are RuntimeErrors
                socket.create_connection((address, meeting.port), _CONNECT_S).close()
                store = _tcp_store(address, meeting.port, leads=False)
                if store.check([proof]):
                    return store
        if time.monotonic() > deadline:
            raise LostProcessError(
                f"the first process of the job cannot be reached at any of "
                f"{', '.join(addresses)}, port {meeting.port}; it has ended, or the nodes of a "
                f"job may not open connections to each other"
            )
        time.sleep(_PAUSE_S)


def _tcp_store(address: str, port: int, *, leads: bool) -> TCPStore:
    return TCPStore(
        address,
        port,
        is_master=leads,
        wait_for_workers=False,
        timeout=timedelta(seconds=MEETING_S),
    )
