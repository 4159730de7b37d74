"""The starter's service: who is let in, and what it is told."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from deit_core.errors import UserError
from deit_core.rendezvous import VARIABLE, Arrival, Meeting, ServiceAddress
from launcher.rendezvous import Rendezvous


def address_of(rendezvous):
    return ServiceAddress.parse(rendezvous.environ()[VARIABLE])


def arrival(rendezvous, rank, *, machine="a", addresses=("192.0.2.1", "127.0.0.1"), **values):
    port = 4000 if rank == 0 else 0
    token = address_of(rendezvous).token
    given = {"token": token, "rank": rank, "port": port, **values}
    return Arrival(machine=machine, addresses=addresses, **given)


def say(rendezvous, line):
    """What the service answers; empty where it hangs up."""
    with socket.create_connection(("127.0.0.1", address_of(rendezvous).port), 10) as connection:
        connection.settimeout(20)
        connection.sendall(line)
        with connection.makefile("rb") as answers:
            return answers.readline()


def meet(rendezvous, *arrivals):
    with ThreadPoolExecutor(len(arrivals)) as pool:
        lines = pool.map(lambda one: say(rendezvous, one.encode()), arrivals)
        return [Meeting.model_validate_json(line) for line in lines]


def test_all_are_told_where_the_first_one_is():
    with Rendezvous(3) as rendezvous:
        meetings = meet(rendezvous, *(arrival(rendezvous, rank) for rank in (2, 0, 1)))
    assert set(meetings) == {
        Meeting(machine="a", addresses=("192.0.2.1", "127.0.0.1"), port=4000, elsewhere=None)
    }


def test_processes_of_several_machines_are_told_of_another_machine():
    with Rendezvous(3) as rendezvous:
        here, there, too = meet(
            rendezvous,
            arrival(rendezvous, 0),
            arrival(rendezvous, 1, machine="b", addresses=("192.0.2.2",)),
            arrival(rendezvous, 2),
        )
    assert here.elsewhere == too.elsewhere == "192.0.2.2"
    assert there.elsewhere == "192.0.2.1"
    assert there.machine == "a"


def test_who_does_not_come_is_named():
    with Rendezvous(4, limit_s=0.2) as rendezvous:
        assert rendezvous.missing() == (0, 1, 2, 3)
        meetings = meet(rendezvous, arrival(rendezvous, 0), arrival(rendezvous, 2))
        assert {meeting.missing for meeting in meetings} == {(1, 3)}


@pytest.mark.parametrize(
    "change", [{"token": "of another attempt"}, {"rank": 2}, {"rank": -1}, {"token": "ä"}]
)
def test_strangers_are_not_let_in(change):
    with Rendezvous(2) as rendezvous:
        stranger = arrival(rendezvous, 0).model_copy(update=change)
        assert say(rendezvous, stranger.encode()) == b""
        assert rendezvous.missing() == (0, 1)


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1\r\n", b"\xff\xfe\n", b"{}\n", b"9" * 70_000])
def test_noise_at_the_port_is_ignored(line, capfd):
    with Rendezvous(1) as rendezvous:
        with contextlib.suppress(ConnectionError):  # it has hung up on what it did not read
            assert say(rendezvous, line) == b""
        (meeting,) = meet(rendezvous, arrival(rendezvous, 0))
        assert meeting.port == 4000
    assert capfd.readouterr().err == ""


def test_jobs_and_attempts_beside_each_other_have_ports_of_their_own():
    with Rendezvous(1) as one, Rendezvous(1) as other:
        assert address_of(one).port != address_of(other).port
        assert address_of(one).token != address_of(other).token


def test_the_end_of_the_attempt_sends_waiting_processes_away():
    with Rendezvous(2) as rendezvous, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(say, rendezvous, arrival(rendezvous, 0).encode())
        while rendezvous.missing() != (1,):
            threading.Event().wait(0.01)
        rendezvous.__exit__(None, None, None)
        assert answer.result(20) == b""


def test_names_given_come_first_and_the_loopback_last(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "name.that.is.invalid")
    with Rendezvous(1, ("node7",)) as rendezvous:
        hosts = address_of(rendezvous).hosts
    assert (hosts[0], hosts[-1]) == ("node7", "127.0.0.1")
    assert "name.that.is.invalid" not in hosts


@pytest.mark.parametrize("text", ["", "host", "host:1", "host:x/t", ":1/t", "host:1/"])
def test_an_address_that_is_none_is_refused(text):
    with pytest.raises(UserError, match=r"DEIT_RENDEZVOUS is .*not host,host:port/token"):
        ServiceAddress.parse(text)


def test_an_address_survives_the_environment():
    address = ServiceAddress(("node1", "2001:db8::1", "127.0.0.1"), 4711, "secret")
    assert ServiceAddress.parse(str(address)) == address


GATHER = """
import os
from deit_core.train.dist import open_ranks, ranks_of
with open_ranks(ranks_of(os.environ), on_gpu=False) as ranks:
    assert ranks.gather(ranks.rank) == [0, 1]
"""


def test_processes_meet_on_a_machine_that_does_not_know_its_own_name():
    gang = [sys.executable, "-P", "-m", "launcher.gang", "2", "--", sys.executable, "-c", GATHER]
    apart = ["unshare", "--uts", "sh", "-c", 'hostname name.that.is.invalid && exec "$@"', "sh"]
    try:
        subprocess.run([*apart, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs root and unshare(1) to give a process another host name")
    done = subprocess.run(
        [*apart, *gang],
        env=os.environ | {"OMP_NUM_THREADS": "2"},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def machines():
    """Two network namespaces with a cable between them: to each other they are machines."""
    names = [f"deit{os.getpid()}{end}" for end in "ab"]
    try:
        for name in names:
            ip("netns", "add", name)
        links = [f"v{name[-8:]}" for name in names]
        cable = ("link", "add", links[0], "netns", names[0], "type", "veth", "peer", "name")
        ip(*cable, links[1], "netns", names[1])
        for number, (name, link) in enumerate(zip(names, links, strict=True), start=1):
            ip("-n", name, "addr", "add", f"10.9.0.{number}/24", "dev", link)
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", link, "up")
    except (OSError, subprocess.CalledProcessError):
        remove(names)
        pytest.skip("needs root and ip(8) to make network namespaces")
    yield names
    remove(names)


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def remove(names):
    for name in names:
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            ip("netns", "del", name)


STARTER = """
import os, subprocess, sys
from launcher.rendezvous import Rendezvous
with Rendezvous(2) as rendezvous:
    ranks = [
        subprocess.Popen(
            ["ip", "netns", "exec", machine, sys.executable, "-c", sys.argv[1]],
            env=os.environ | rendezvous.environ()
            | {"RANK": str(rank), "LOCAL_RANK": "0", "WORLD_SIZE": "2"},
        )
        for rank, machine in enumerate(sys.argv[2:])
    ]
    sys.exit(any([process.wait() for process in ranks]))
"""


def test_processes_of_two_machines_meet_without_any_name(machines):
    """The starter is where the second process is, as the first one need not be where it is."""
    here, there = machines
    done = subprocess.run(
        ["ip", "netns", "exec", here, sys.executable, "-c", STARTER, GATHER, there, here],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
