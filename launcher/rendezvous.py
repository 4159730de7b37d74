"""The starter's end of a rendezvous: a small service that lives as long as an attempt of a job.

See deit_core.rendezvous for what is said, deit_core.train.rendezvous for the processes' end.
"""

from __future__ import annotations

import contextlib
import hmac
import secrets
import socket
import socketserver
import threading
import time
from collections.abc import Sequence
from types import TracebackType

from pydantic import ValidationError

from deit_core.network import is_loopback, own_addresses, resolve
from deit_core.rendezvous import (
    LINE_BYTES,
    MEETING_S,
    VARIABLE,
    Arrival,
    Meeting,
    ServiceAddress,
)

_IDLE_S = 10.0
"""A connection that has said nothing by then is not one of ours."""


class Rendezvous:
    """Brings `world` processes together for as long as the `with` block lasts.

    Args:
        world: number of processes.
        names: names or addresses by which other nodes know this machine, the likeliest first.
        limit_s: how long a process waits for the others.
    """

    def __init__(
        self, world: int, names: Sequence[str] = (), *, limit_s: float = MEETING_S
    ) -> None:
        self.world = world
        self.names = tuple(names)
        self.limit_s = limit_s
        self._token = secrets.token_hex(16)
        self._arrivals: dict[int, Arrival] = {}
        self._changed = threading.Condition()
        self._open = True
        self._server: _Server | None = None

    def __enter__(self) -> Rendezvous:
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._open = False
            self._changed.notify_all()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def environ(self) -> dict[str, str]:
        """What each process needs in its environment, beside RANK, WORLD_SIZE and LOCAL_RANK."""
        if self._server is None:
            raise RuntimeError("the rendezvous is not open")
        hostname = socket.gethostname()
        known = (hostname,) if resolve(hostname) else ()
        hosts = tuple(dict.fromkeys((*self.names, *known, *own_addresses())))
        return {VARIABLE: str(ServiceAddress(hosts, self._server.port, self._token))}

    def missing(self) -> tuple[int, ...]:
        """Ranks that have not come yet."""
        with self._changed:
            return self._missing()

    def _missing(self) -> tuple[int, ...]:
        return tuple(rank for rank in range(self.world) if rank not in self._arrivals)

    def admit(self, arrival: Arrival, seen_from: str) -> Meeting | None:
        """Take a process in and wait until all are there; None for one that is not ours."""
        if not hmac.compare_digest(arrival.token.encode(), self._token.encode()):
            return None
        if not 0 <= arrival.rank < self.world:
            return None
        if not is_loopback(seen_from):
            known = (seen_from, *arrival.addresses)
            arrival = arrival.model_copy(update={"addresses": tuple(dict.fromkeys(known))})
        deadline = time.monotonic() + self.limit_s
        with self._changed:
            self._arrivals[arrival.rank] = arrival
            self._changed.notify_all()
            while self._open and self._missing():
                remaining_s = deadline - time.monotonic()
                if remaining_s <= 0:
                    return Meeting(missing=self._missing())
                self._changed.wait(remaining_s)
            return self._meeting(arrival) if self._open else None

    def _meeting(self, asker: Arrival) -> Meeting:
        first = self._arrivals[0]
        others = [a for a in self._arrivals.values() if a.machine != asker.machine]
        return Meeting(
            machine=first.machine,
            addresses=first.addresses,
            port=first.port,
            elsewhere=others[0].addresses[0] if others else None,
        )


class _Server(socketserver.ThreadingTCPServer):
    """A thread for each process that waits."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024  # all processes of a large job come at once

    def __init__(self, rendezvous: Rendezvous) -> None:
        self.rendezvous = rendezvous
        dual = socket.has_dualstack_ipv6()
        self.address_family = socket.AF_INET6 if dual else socket.AF_INET
        super().__init__(("::" if dual else "0.0.0.0", 0), _Handler)
        self.port: int = self.server_address[1]

    def server_bind(self) -> None:
        """Take IPv4 as well."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class _Handler(socketserver.StreamRequestHandler):
    """One question, one answer; whatever else comes, such as a port scan, gets none."""

    timeout = _IDLE_S

    def handle(self) -> None:
        assert isinstance(self.server, _Server)
        with contextlib.suppress(OSError, ValidationError):
            arrival = Arrival.model_validate_json(self.rfile.readline(LINE_BYTES))
            seen_from = str(self.client_address[0]).removeprefix("::ffff:")
            meeting = self.server.rendezvous.admit(arrival, seen_from)
            if meeting is not None:
                self.wfile.write(meeting.encode())
