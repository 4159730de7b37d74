"""`deit-launch tensorboard`: TensorBoard itself, asked over HTTP."""

import contextlib
import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from launch_support import until
from torch.utils.tensorboard import SummaryWriter

from deit_core.records import PlanRecord
from launcher.sweep_dir import SweepDir


def free_port():
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


@pytest.fixture
def served(tmp_path):
    """URL of TensorBoard on a sweep of one trial."""
    sweep_dir = SweepDir(tmp_path / "sweep")
    elsewhere = tmp_path / "elsewhere"
    with SummaryWriter(str(elsewhere)) as writer:
        writer.add_scalar("val/top1", 81.5, 3)
    sweep_dir.tensorboard.mkdir(parents=True)
    (sweep_dir.tensorboard / "kind=soft,seed=0").symlink_to(elsewhere)
    sweep_dir.update_plan(PlanRecord(sweep="s", sweep_hash="0", created_utc=""))
    port = free_port()
    program = "from launcher.cli import main; main()"
    options = ["tensorboard", str(sweep_dir.path), "--port", str(port)]
    log = (tmp_path / "log").open("wb")
    board = subprocess.Popen([sys.executable, "-c", program, *options], stdout=log, stderr=log)
    yield f"http://127.0.0.1:{port}"
    board.terminate()
    board.wait(30)
    log.close()


def ask(url):
    with contextlib.suppress(urllib.error.URLError), urllib.request.urlopen(url, timeout=10) as got:
        return json.load(got)
    return None


@pytest.mark.slow
def test_curves_are_served_under_the_trials_names(served):
    runs = until(lambda: ask(f"{served}/data/runs"), 120)
    assert runs == ["kind=soft,seed=0"]
    point = "run=kind%3Dsoft%2Cseed%3D0&tag=val%2Ftop1"
    ((_, step, value),) = until(lambda: ask(f"{served}/data/plugin/scalars/scalars?{point}"))
    assert (step, value) == (3, 81.5)
