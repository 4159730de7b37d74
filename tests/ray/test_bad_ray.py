"""What a user can get wrong about Ray: each mistake is one line, said soon, before any writing."""

import importlib.util
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from launch_support import FAKE_TRAINER, make_trial, submit
from ray_queue import queue_of
from sweeps_for_tests import write_sweep

from launcher.backends.base import Job
from launcher.backends.ray import cluster as asking
from launcher.backends.ray.backend import RayBackend
from launcher.backends.ray.cluster import ClusterRecord, auth_environment, wanted_address
from launcher.errors import LaunchError
from launcher.locks import take_lock
from launcher.resources import Resources

LAUNCH = str(Path(sys.executable).with_name("deit-launch"))


@pytest.fixture
def away(tmp_path, monkeypatch):
    """A folder for a sweep that will not start."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "nobody")
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def listener():
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def nothing():
    """An address at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def refused(*arguments):
    """What the command says, in its one line, and how long it takes."""
    began = time.monotonic()
    done = subprocess.run([LAUNCH, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr, time.monotonic() - began


def test_an_address_at_which_nothing_listens(away, nothing):
    said, took_s = refused("sweep", str(write_sweep(away)), "--ray-address", nothing)
    assert nothing in said
    assert "Connection refused" in said
    assert took_s < 15
    assert not (away / "runs").exists()


def test_something_else_listens_there(away, listener):
    said, took_s = refused("sweep", str(write_sweep(away)), "--ray-address", listener)
    assert f"{listener} does not answer as a Ray cluster" in said
    assert took_s < 15
    assert not (away / "runs").exists()


def test_the_address_may_come_from_the_environment(away, nothing, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", nothing)
    with pytest.raises(LaunchError, match=f"nothing answers at {nothing}"):
        RayBackend(away / "runs").check(Resources())


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("ray://head:10001", "host:port"),
        ("head", "give host:port, auto"),
        ("head:70000", "give host:port, auto"),
        ("", "give host:port, auto"),
    ],
)
def test_no_address_at_all(given, hint):
    with pytest.raises(LaunchError, match=hint) as caught:
        wanted_address(given, {})
    assert f"--ray-address {given}" in str(caught.value)


def test_the_address_is_the_option_then_the_variable():
    environ = {"RAY_ADDRESS": "there:6379"}
    assert wanted_address(None, environ) == "there:6379"
    assert wanted_address("here:6379", environ) == "here:6379"
    assert wanted_address("auto", environ) == "auto"
    assert wanted_address(None, {"RAY_ADDRESS": ""}) is None


def test_without_ray_the_extra_is_named(away, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "ray" else found(name)
    )
    backend = RayBackend(away / "runs", "local")
    with pytest.raises(LaunchError, match=r'pip install "deit-sweeps\[ray\]"'):
        backend.check(Resources())
    (check,) = backend.checks(Resources())
    assert not check.ok


def test_an_address_is_for_ray_alone(away):
    said, _ = refused(
        "sweep", str(write_sweep(away)), "--ray-address", "head:6379", "--backend", "local"
    )
    assert "--ray-address head:6379 is for ray, and --backend local is given" in said


@pytest.mark.parametrize(
    ("variables", "hint"),
    [
        ({"RAY_AUTH_MODE": "disabled"}, "RAY_AUTH_MODE is 'disabled' here"),
        ({"RAY_AUTH_TOKEN": "another-token-of-nobody-at-all"}, "its token is another"),
        ({}, "there is no token here"),
        ({"RAY_AUTH_MODE": "token"}, "there is no token here"),
    ],
)
def test_a_token_that_the_cluster_does_not_take(cluster, away, monkeypatch, variables, hint):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(LaunchError, match=hint) as caught:
        RayBackend(away / "runs", cluster.address).check(Resources())
    assert "RAY_AUTH_TOKEN_PATH" in str(caught.value)


def test_a_token_that_is_here_is_sent(tmp_path):
    token = tmp_path / "token"
    assert auth_environment({"RAY_AUTH_TOKEN_PATH": str(token)}) == {}
    token.write_text("one")
    assert auth_environment({"RAY_AUTH_TOKEN_PATH": str(token)}) == {"RAY_AUTH_MODE": "token"}
    given = {"RAY_AUTH_TOKEN": "one", "RAY_AUTH_MODE": "disabled"}
    assert auth_environment(given) == {}


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ({"nodes": 5, "tasks_per_node": 1}, "asks for 5 nodes with 1 core each"),
        ({"gpus_per_node": 3}, "asks for 1 node with 3 cores, 3 GPUs each"),
        ({"cpus_per_trial": 64}, "has 0 such nodes of 4"),
        ({"mem_gb": 1e6}, "1e\\+06 GB each"),
    ],
)
def test_what_no_node_has_is_refused(cluster, runs, resources, said):
    with pytest.raises(LaunchError, match=said) as caught:
        RayBackend(runs, cluster.address).check(Resources(**resources))
    assert "lower `resources`" in str(caught.value)


def test_one_queue_serves_one_cluster(cluster, runs):
    trial = make_trial(runs / "sweep" / "trials", 0)
    backend = RayBackend(runs, cluster.address, command=FAKE_TRAINER)
    backend._ensure_runner = lambda: None
    submit(backend, Job("one", (trial.path,)))
    asking.write_cluster(queue_of(runs), ClusterRecord(address="elsewhere:6379"))
    driver = take_lock(queue_of(runs).runner_lock)
    with pytest.raises(LaunchError, match=r"1 job of this runs folder is on .* elsewhere:6379"):
        RayBackend(runs, cluster.address).check(Resources())
    os.close(driver)  # with the driver all that it ran has ended
    assert RayBackend(runs, cluster.address).check(Resources()) == ()


def test_looking_and_steering_ask_no_cluster(cluster, runs, monkeypatch):
    """Only what starts trials needs an answer."""
    trial = make_trial(runs / "sweep" / "trials", 0)
    backend = RayBackend(runs, cluster.address, command=FAKE_TRAINER)
    backend._ensure_runner = lambda: None
    submit(backend, Job("one", (trial.path,)))

    def forbidden(*_):
        raise AssertionError("the cluster was asked")

    monkeypatch.setattr(asking, "look", forbidden)
    later = RayBackend(runs, "nowhere:1")
    later._ensure_runner = lambda: None
    assert later.states(["one"])["one"].state == "queued"
    later.hold(["one"])
    assert later.states(["one"])["one"].held
    later.release(["one"])
    later.throttle("sweep", 1)
    later.cancel(["one"])
    later.revive()
