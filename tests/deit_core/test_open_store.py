"""The processes' end of a rendezvous, with torch's own stores."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from deit_core.errors import LostProcessError, UserError
from deit_core.network import machine_id
from deit_core.rendezvous import VARIABLE, Meeting, ServiceAddress
from deit_core.train import rendezvous
from deit_core.train.rendezvous import open_store
from launcher.rendezvous import Rendezvous

LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo"}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendezvous, "_PATIENCE_S", 0.0)


def test_all_ranks_share_one_store() -> None:
    with Rendezvous(3, ("name.that.is.invalid",)) as service, ThreadPoolExecutor(3) as pool:
        environments = [service.environ() for _ in range(3)]
        stores = list(pool.map(open_store, environments, range(3), [3] * 3))
        stores[2].set("said", "by the last")
        assert [store.get("said") for store in stores] == [b"by the last"] * 3
    assert all(environ["GLOO_SOCKET_IFNAME"] == "lo" for environ in environments)


def test_an_interface_that_the_user_chose_is_kept() -> None:
    with Rendezvous(1) as service:
        environ = {**service.environ(), "GLOO_SOCKET_IFNAME": "ib0"}
        open_store(environ, 0, 1)
    assert environ["GLOO_SOCKET_IFNAME"] == "ib0"


def test_the_interface_is_the_one_that_leads_to_the_other_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = {"127.0.0.1": "lo", "10.0.0.1": "eth0", "10.1.0.1": "ib0"}
    monkeypatch.setattr(rendezvous, "interfaces", lambda: known)
    monkeypatch.setattr(rendezvous, "local_address_towards", lambda _: "10.1.0.1")
    assert rendezvous._interface(Meeting(elsewhere="10.1.0.2")) == "ib0"
    monkeypatch.setattr(rendezvous, "local_address_towards", lambda _: None)
    assert rendezvous._interface(Meeting(elsewhere="10.1.0.2")) is None


def test_ranks_that_do_not_come_are_named() -> None:
    with (
        Rendezvous(3, limit_s=0.1) as service,
        pytest.raises(LostProcessError, match="of 3 processes, 0, 2 did not come"),
    ):
        open_store(service.environ() | LOOPBACK, 1, 3)


def test_a_starter_that_is_gone_is_named_with_every_address(impatient: None) -> None:
    with Rendezvous(2) as service:
        environ = service.environ()
    hosts = ServiceAddress.parse(environ[VARIABLE]).hosts
    with pytest.raises(LostProcessError) as caught:
        open_store(environ, 1, 2)
    assert "\n" not in str(caught.value)
    assert f"process 1 cannot reach what started the job, at any of {', '.join(hosts)}" in str(
        caught.value
    )


def test_a_store_of_another_job_at_the_same_address_is_not_joined(impatient: None) -> None:
    foreign = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    meeting = Meeting(machine=machine_id(), addresses=("127.0.0.1",), port=foreign.port)
    with pytest.raises(LostProcessError, match=r"first process of the job cannot be reached"):
        rendezvous._join(meeting, machine_id(), "deit/secret")
    foreign.set("deit/secret", "")
    assert rendezvous._join(meeting, machine_id(), "deit/secret").check(["deit/secret"])


def test_a_malformed_address_is_the_users_mistake() -> None:
    with pytest.raises(UserError, match="DEIT_RENDEZVOUS is 'here'"):
        open_store({VARIABLE: "here"}, 0, 1)
