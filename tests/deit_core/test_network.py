"""What a machine knows of itself, and how long it waits for a name server."""

from __future__ import annotations

import socket
import sys
import threading
from typing import Any

import pytest

from deit_core import network


def test_addresses_need_no_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: Any, **__: Any) -> None:
        raise AssertionError("a name server was asked")

    monkeypatch.setattr(socket, "getaddrinfo", asked)
    assert network.resolve("192.0.2.7") == ("192.0.2.7",)
    assert network.resolve("2001:db8::1") == ("2001:db8::1",)


def test_an_unknown_name_has_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert network.resolve("node1") == ()


def test_a_silent_name_server_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer.wait() and [])
    assert network.resolve("node1", patience_s=0.01) == ()
    answer.set()


def test_ipv4_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def both(host: str, port: None, family: int, kind: int) -> list[Any]:
        address = "192.0.2.7" if family == socket.AF_INET else "2001:db8::1"
        return [(family, kind, 6, "", (address, 0))] * 2

    monkeypatch.setattr(socket, "getaddrinfo", both)
    assert network.resolve("node1") == ("192.0.2.7", "2001:db8::1")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's interfaces")
def test_the_loopback_is_an_interface_and_comes_last() -> None:
    assert network.interfaces()["127.0.0.1"] == "lo"
    *others, last = network.own_addresses()
    assert last == "127.0.0.1"
    assert not any(network.is_loopback(address) for address in others)


def test_a_way_to_oneself_and_none_to_nowhere() -> None:
    assert network.local_address_towards("127.0.0.1") == "127.0.0.1"
    assert network.local_address_towards("255.255.255.255") is None


def test_processes_of_one_machine_know_it() -> None:
    assert network.machine_id() == network.machine_id() != ""
