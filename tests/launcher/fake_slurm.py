"""Programs that pretend to be SLURM's, a backend that asks them, and one job."""

import pytest
from launch_support import FAKE_TRAINER, make_trial

from launcher.backends.base import Job
from launcher.backends.slurm.backend import SlurmBackend

CONFIG = "ClusterName = here\nMaxArraySize = 1001\n"
PARTITION = (
    "PartitionName=gpu AllowAccounts=ALL AllowQos=ALL Default=YES Hidden=NO MaxNodes=UNLIMITED "
    "MaxTime=2-00:00:00 Nodes=n[1-2] State=UP QoS=N/A TRES=cpu=16,gres/gpu=8\n"
)
NODES = "gpu|1|8|16000|gpu:a100:4(S:0-1)|idle|a100\ngpu|1|8|16000|gpu:a100:4(S:0,1)|drained|a100\n"
WAITING = "20|20|0|PENDING|Priority||deit.cafe\n"


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Puts programs of SLURM on the PATH that print a text, or run a line of shell."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")

    def put(name, text="", shell=""):
        answer = folder / f"{name}.txt"
        answer.write_text(text)
        (folder / name).write_text(f'#!/bin/sh\n{shell}\ncat "{answer}"\n')
        (folder / name).chmod(0o755)

    put("sbatch", "20\n")
    put("sinfo", NODES)
    put("squeue", WAITING)
    put("sacctmgr")
    put("scontrol", CONFIG, f"case \"$*\" in *partition*) echo '{PARTITION.strip()}'; exit;; esac")
    return put


@pytest.fixture
def backend(programs, tmp_path):
    return SlurmBackend(tmp_path / "runs", command=FAKE_TRAINER)


@pytest.fixture
def job_id(backend, tmp_path, monkeypatch):
    """A job that was submitted, and that SLURM knows as 20_0, of the array `deit.cafe`."""
    monkeypatch.setattr("launcher.backends.slurm.submission.secrets.token_hex", lambda _: "cafe")
    run = make_trial(tmp_path / "runs" / "s" / "trials", 0)
    return backend.submit([Job("one", (run.path,))])["one"]
