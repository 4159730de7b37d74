"""Names and addresses of this machine, never waiting long for a name server. Torch-free."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import socket
import struct
import sys
import threading
from pathlib import Path

RESOLVE_S = 5.0
"""A name server that has not answered by then is taken to know nothing."""

_SIOCGIFADDR = 0x8915
"""Linux: the IPv4 address of an interface (netdevice(7)); at bytes 20 to 24 of `struct ifreq`."""
_IFREQ_BYTES = 256


def machine_id() -> str:
    """Equal for processes that reach each other by 127.0.0.1: same boot, same network namespace."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{os.readlink('/proc/self/ns/net')}"
    return socket.gethostname()


def is_loopback(address: str) -> bool:
    """Whether it leads back to the machine that uses it."""
    return ipaddress.ip_address(address).is_loopback


def resolve(host: str, patience_s: float = RESOLVE_S) -> tuple[str, ...]:
    """The addresses of a host, IPv4 first; none where nobody knows the name in time."""
    with contextlib.suppress(ValueError):
        return (str(ipaddress.ip_address(host)),)
    found: list[str] = []

    def look_up() -> None:
        with contextlib.suppress(OSError, UnicodeError):
            for family in (socket.AF_INET, socket.AF_INET6):
                with contextlib.suppress(socket.gaierror):
                    entries = socket.getaddrinfo(host, None, family, socket.SOCK_STREAM)
                    found.extend(str(entry[4][0]) for entry in entries)

    # getaddrinfo takes no time limit, and a resolver may be silent for minutes.
    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(patience_s)
    return tuple(dict.fromkeys(found))


def interfaces() -> dict[str, str]:
    """Name of the interface by address, for those that are up; empty where this is not Linux."""
    if not sys.platform.startswith("linux"):
        return {}
    return _ipv4_interfaces() | _ipv6_interfaces()


def _ipv4_interfaces() -> dict[str, str]:
    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack(f"{_IFREQ_BYTES}s", name.encode()[:15])
            with contextlib.suppress(OSError):  # it has no IPv4 address
                answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
                found[socket.inet_ntoa(answer[20:24])] = name
    return found


def _ipv6_interfaces() -> dict[str, str]:
    """From /proc/net/if_inet6: address, index, prefix length, scope, flags and name; proc(5)."""
    found = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/if_inet6").read_text(encoding="ascii").splitlines():
            digits, _, _, scope, _, name = line.split()
            if scope != "20":  # of one link alone: no address that another machine can use
                found[str(ipaddress.IPv6Address(bytes.fromhex(digits)))] = name
    return found


def own_addresses() -> tuple[str, ...]:
    """Addresses by which other machines may reach this one, then the loopback's."""
    known = list(interfaces())
    return (*(a for a in known if not is_loopback(a)), "127.0.0.1")


def local_address_towards(address: str) -> str | None:
    """The address that this machine uses to talk to another; None where there is no way."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((address, 9))  # of a datagram socket: chooses a route and sends nothing
        return str(probe.getsockname()[0])
    return None
