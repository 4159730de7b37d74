"""Small searches, and a backend whose jobs run when the test says so, in the test's own process."""

import contextlib
import json
import os
import secrets
import signal
import sys
from pathlib import Path

import surrogate_trainer

from deit_core.run_dir import RunDir
from deit_core.train.signals import StopRequest
from launcher.backends.base import Capacity, JobReport, no_peers
from launcher.reconcile import reconcile, refill
from launcher.request import request_of
from launcher.search.records import SearchDir
from launcher.sweep import load_sweep

SURROGATE = (sys.executable, surrogate_trainer.__file__)
STUDENT = """\
data: {source: digits, train_images: 160}
model: {name: deit_tiny_distilled_patch16_224, img_size: 8, patch_size: 2, embed_dim: 64,
        depth: 2, num_heads: 2, in_chans: 1}
teacher: {name: resnet10t, pretrained: true}
train: {duration: 9ep, global_batch_size: 16}
"""
LR = "optim.lr: {low: 1.0e-5, high: 1.0e-1, log: true}"
DEPTH = "model.depth: {low: 1, high: 8, int: true}"
SPACE = f"{{{LR}, {DEPTH}}}"
CONDITIONAL = (
    f"{{{LR}, distill.kind: [none, soft, hard], "
    "distill.temperature: {low: 1, high: 9, when: {distill.kind: soft}}}"
)


def write_search(
    folder,
    search,
    *,
    space=SPACE,
    name="found",
    seeds="[0]",
    resources="{cohort: false}",
):
    (folder / "student.yaml").write_text(STUDENT)
    path = folder / f"{name}.yaml"
    path.write_text(
        f"name: {name}\nbase: student.yaml\nseeds: {seeds}\nresources: {resources}\n"
        f"search: {search}\naxes: {{search: {space}}}\n"
    )
    return path


def sweep(runs, path, backend):
    """`deit-launch sweep`; returns the sweep's folder."""
    return reconcile(runs, request_of(load_sweep(path)), backend).sweep_dir


def points_of(sweep_dir):
    return SearchDir(sweep_dir).read_points()


def run_of(sweep_dir, trial_id):
    return RunDir((sweep_dir.trials / trial_id).resolve())


def states_of(sweep_dir):
    """The state of every point's first trial, in the order of asking."""
    runs = [run_of(sweep_dir, point.trial_ids[0]) for point in points_of(sweep_dir)]
    return [run.read_status().state for run in runs]


class TestBackend:
    """Keeps its jobs in files, and runs one when it is told to."""

    __test__ = False
    name = "local"

    def __init__(self, runs: Path, slots: int = 2) -> None:
        self.runs = runs
        self.slots = slots
        self.peers = no_peers
        self.folder = runs / ".jobs"
        self.folder.mkdir(parents=True, exist_ok=True)

    # what the launcher asks --------------------------------------------------------------------

    def submit(self, jobs):
        for job in jobs:
            mine = {str(path) for path in job.run_dirs}
            for other in self.live():
                assert mine.isdisjoint(self.run_dirs(other)), "a trial has two jobs"
            draft = self.folder / f".{secrets.token_hex(4)}"
            draft.write_text(json.dumps(sorted(mine)))
            os.rename(draft, self.folder / job.tag)
        return {job.tag: job.tag for job in jobs}

    def find(self, tags):
        return {tag: tag for tag in tags if tag in self.live()}

    def states(self, job_ids):
        live = self.live()
        held = {path.name for path in self.folder.glob("held/*")}
        return {
            name: JobReport("queued" if name in live else "ended", held=name in held)
            for name in job_ids
        }

    def cancel(self, job_ids):
        for name in job_ids:
            self.lose(name)

    def hold(self, job_ids):
        (self.folder / "held").mkdir(exist_ok=True)
        for name in job_ids:
            (self.folder / "held" / name).touch()

    def release(self, job_ids):
        for name in job_ids:
            (self.folder / "held" / name).unlink(missing_ok=True)

    def capacity(self):
        return Capacity(cpus=self.slots)

    def settle(self, resources):
        return resources

    def check(self, resources):
        return ()

    def node(self, resources):
        return None

    def revive(self):
        pass

    def require_answer(self):
        pass

    # what the test says ------------------------------------------------------------------------

    def live(self):
        """Tags of jobs that wait, oldest first."""
        files = [p for p in self.folder.iterdir() if p.is_file() and not p.name.startswith(".")]
        return [path.name for path in sorted(files, key=lambda path: path.stat().st_mtime_ns)]

    def run_dirs(self, tag):
        return json.loads((self.folder / tag).read_text())

    def lose(self, tag):
        """The job ends without having done anything."""
        with contextlib.suppress(FileNotFoundError):
            (self.folder / tag).unlink()

    def work(self):
        """Run the oldest job; False where there is none."""
        tags = self.live()
        if tags:
            trials = [surrogate_trainer.Trial(path) for path in self.run_dirs(tags[0])]
            surrogate_trainer.train(trials, StopRequest())
            self.lose(tags[0])
        return bool(tags)


def work_off(sweep_dir, backend):
    """Run job after job, each followed by what whoever runs it does then; how many there were."""
    jobs = 0
    while backend.work():
        jobs += 1
        refill(sweep_dir, backend)
    return jobs


def killed_at(step, act):
    """Do something in a process that is killed before its `step`-th change of a file.

    Returns:
        Whether it was killed: False where it takes fewer steps.
    """
    child = os.fork()
    if child == 0:
        _die_at(step)
        code = 1
        with contextlib.suppress(BaseException):
            act()
            code = 0
        os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL)
    return os.waitstatus_to_exitcode(status) != 0


def _die_at(step):
    left = [step]

    def counted(function):
        def call(*args, **options):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **options)

        return call

    for name in ("replace", "rename", "link", "unlink", "mkdir"):
        setattr(os, name, counted(getattr(os, name)))
