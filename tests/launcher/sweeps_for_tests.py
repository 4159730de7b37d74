"""Small sweep files, and what becomes of them with the stand-in trainer."""

from launch_support import behave, started, until

from deit_core.run_dir import RunDir
from launcher.reconcile import reconcile
from launcher.request import request_of
from launcher.sweep import load_sweep

STUDENT = """\
data: {source: digits, train_images: 300}
model: {name: deit_tiny_distilled_patch16_224, img_size: 8, patch_size: 2, embed_dim: 64,
        depth: 2, num_heads: 2, in_chans: 1}
train: {duration: 2ep, global_batch_size: 16}
"""
TEACHER = """\
data: {source: digits, train_images: 300}
model: {name: resnet10t, img_size: 8, in_chans: 1}
train: {duration: 2ep, global_batch_size: 16}
"""


def write_sweep(folder, *, name="small", seeds="[0, 1, 2]", axes="", resources="{cohort: false}"):
    (folder / "student.yaml").write_text(STUDENT)
    path = folder / f"{name}.yaml"
    path.write_text(
        f"name: {name}\nbase: student.yaml\nseeds: {seeds}\nresources: {resources}\n"
        + (f"axes:\n  {axes}\n" if axes else "")
    )
    return path


def write_distillation(folder, *, seeds="[0, 1]", resources="{cohort: true}"):
    (folder / "teacher.yaml").write_text(TEACHER)
    path = write_sweep(folder, name="distill", seeds=seeds, resources=resources)
    path.write_text(
        path.read_text() + "axes: {distill.kind: [soft, hard]}\nteacher: {base: teacher.yaml}\n"
    )
    return path


def request_for(path):
    return request_of(load_sweep(path))


def sweep_once(runs, path, backend):
    return reconcile(runs, request_for(path), backend)


def runs_of(outcome):
    """Run directories in plan order."""
    return [RunDir(path) for path in outcome.paths.values()]


def wait_for(outcome, state="completed"):
    for run in runs_of(outcome):
        until(lambda run=run: run.read_status().state == state)


def hold(runs, path, backend, gate):
    """Create the sweep's trials so that each waits for the gate, and start them."""
    from launcher.sweep_dir import choose_folder
    from launcher.trial_dirs import create_trials

    request = request_for(path)
    sweep_dir = choose_folder(runs, request.name, request.digest)
    for made in create_trials(sweep_dir, request.expansion.trials, {}).values():
        behave(RunDir(made), gate=str(gate))
    return reconcile(runs, request, backend)


def total_starts(outcome):
    return [started(run) for run in runs_of(outcome)]
