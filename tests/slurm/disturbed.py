"""Sweeps of one trial each, which a test disturbs while they train."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from launch_support import behave, until
from slurm_cluster.cluster import SlurmCluster
from slurm_cluster.processes import Process
from sweeps_for_tests import request_for

from deit_core.attempts import AttemptRecord, read_attempts
from deit_core.run_dir import RunDir
from launcher.backends.slurm.array_dir import SlurmDir
from launcher.backends.slurm.backend import SlurmBackend
from launcher.observe import observe, read_trial_job
from launcher.reconcile import reconcile
from launcher.sweep_dir import choose_folder
from launcher.trial_dirs import create_trials

STEPPING_TRAINER = Path(__file__).parents[1] / "launcher" / "stepping_trainer.py"
CONFIG = """\
data: {source: digits, train_images: 160}
model: {name: deit_tiny_distilled_patch16_224, img_size: 8, patch_size: 2, embed_dim: 32,
        depth: 1, num_heads: 2, in_chans: 1}
train: {duration: 60ep, global_batch_size: 16, checkpoint_every_s: 1.0}
logging: {every_steps: 1}
"""
SMALL = {"gpus_per_node": 0, "mem_gb": 0.2, "time": "10min", "cohort": False}
PATIENCE_S = 240.0


@dataclass
class Trial:
    """The only trial of a sweep of its own."""

    cluster: SlurmCluster
    backend: SlurmBackend
    file: Path
    run: RunDir

    @classmethod
    def create(
        cls, cluster: SlurmCluster, backend: SlurmBackend, seed: int, resources, **behaviour
    ) -> Trial:
        """Write its sweep file and its run directory; nothing starts.

        Its config is a real one, of a training that takes some ten seconds.
        """
        runs = backend.runs
        folder = runs.parent / f"sweep{seed}"
        folder.mkdir()
        (folder / "student.yaml").write_text(CONFIG)
        file = folder / "sweep.yaml"
        trial = cls(cluster, backend, file, RunDir(folder))
        trial.write(seed, resources)
        request = request_for(file)
        sweep_dir = choose_folder(runs, request.name, request.digest)
        made = create_trials(sweep_dir, request.expansion.trials, {})
        trial.run = RunDir(next(iter(made.values())))
        behave(trial.run, **behaviour)
        return trial

    def write(self, seed: int, resources) -> None:
        """The sweep file, with other resources than before."""
        asked = json.dumps(SMALL | resources)
        self.file.write_text(
            f"name: row{seed}\nbase: student.yaml\nseeds: [{seed}]\nresources: {asked}\n"
        )

    def sweep(self) -> None:
        """`deit-launch sweep`."""
        reconcile(self.backend.runs, request_for(self.file), self.backend)

    # what it is doing --------------------------------------------------------------------------

    @property
    def element(self) -> str:
        """As SLURM calls its job."""
        job = read_trial_job(self.run)
        return job.job_id

    def processes(self) -> list[Process]:
        """All of its job's, the batch script's and srun too."""
        return [each for each in self.cluster.processes() if self.element in each.job_ids]

    def supervisors_log(self) -> str:
        """What its supervisors have said before their first attempts."""
        slurm_id, _, index = self.element.partition("_")
        arrays = [a for a in SlurmDir(self.backend.runs).arrays() if a.slurm_id() == slurm_id]
        return arrays[0].log(index).read_text()

    def ranks(self) -> list[Process]:
        return self.cluster.job_processes(self.element)

    def supervisor(self) -> Process:
        return next(each for each in self.processes() if "slurm.supervisor" in each.command)

    def condition(self) -> str:
        return observe({"it": self.run.path}, self.backend)["it"].condition

    @property
    def step(self) -> int:
        return self.run.read_status().step

    def wait_for(self, condition: str) -> None:
        until(lambda: self.condition() == condition, PATIENCE_S)

    def complete(self) -> None:
        """Wait until it is completed, and its last attempt has been judged."""
        self.wait_for("completed")
        until(lambda: self.attempts[-1].cause is not None, PATIENCE_S)

    # what has become of it ---------------------------------------------------------------------

    @property
    def attempts(self) -> tuple[AttemptRecord, ...]:
        return read_attempts(self.run)

    @property
    def causes(self) -> list[str | None]:
        return [attempt.cause for attempt in self.attempts]

    @property
    def steps(self) -> list[tuple[int, int]]:
        """Attempt and step of each step that was taken."""
        log = (self.run.path / "steps.log").read_text()
        return [(int(line.split()[0]), int(line.split()[1])) for line in log.splitlines()]

    @property
    def repeated(self) -> int:
        """Steps that were taken a second time, as their results were lost."""
        return len(self.steps) - len({step for _, step in self.steps})
