"""`deit-launch export-optuna`: what optuna-dashboard and Optuna find in the storage."""

import json
import re
import subprocess
import sys
from contextlib import contextmanager, suppress
from urllib.error import URLError
from urllib.request import urlopen

import optuna
import pytest
from launch_support import until
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from test_launch_cli import call
from test_tensorboard_command import free_port

from deit_core.config import parse_run_config
from deit_core.records import (
    PlannedTrial,
    PlanRecord,
    StatusRecord,
    SummaryRecord,
    TrialRecord,
)
from deit_core.run_dir import RunDir
from launcher.optuna_export import storage as storage_module
from launcher.search.config import Range, Search
from launcher.search.records import SearchDir, SearchRecord
from launcher.search.space import Parameter, Space
from launcher.sweep_dir import SweepDir

CONFIG = {
    "data": {"source": "digits"},
    "model": {"name": "deit_tiny_distilled_patch16_224", "img_size": 8, "patch_size": 4,
              "in_chans": 1},
    "train": {"duration": "3ep", "global_batch_size": 16},
}  # fmt: skip
BEGAN, ENDED = 1.7e9, 1.7e9 + 60


def summary(trial_id, top1):
    return SummaryRecord(
        trial_id=trial_id,
        epochs=3,
        steps=30,
        val_images=50,
        val_top1=top1,
        val_top5=99.0,
        val_loss=0.5,
        val_top1_cls=top1,
        train_loss=0.4,
        train_images=160,
        num_classes=10,
        parameters=1000,
        train_s=2.0,
        finished_unix_s=ENDED,
    )


class Sweep:
    """A sweep folder whose trials are as they are said to be."""

    def __init__(self, path):
        self.sweep_dir = SweepDir(path)
        self.trials = []

    def add(self, name, swept, state="completed", *, epochs=3, top1=80.0, role="student"):
        trial_id = f"{len(self.trials):012x}"
        self.trials.append(
            PlannedTrial(
                trial_id=trial_id,
                group_id=f"g{trial_id}",
                name=name,
                role=role,
                seed=7,
                swept=swept,
            )
        )
        if state == "new":
            return
        run = RunDir(self.sweep_dir.trials / trial_id)
        made = TrialRecord(trial_id=trial_id, group_id="g", name=name, seed=7, swept=swept)
        run.create(made, parse_run_config(CONFIG))
        ended = None if state == "running" else ENDED
        run.write_status(
            StatusRecord(state=state, attempt=1, started_unix_s=BEGAN, finished_unix_s=ended)
        )
        for epoch in range(1, epochs + 1):
            row = {"step": 10 * epoch, "epoch": float(epoch)}
            run.append_metrics({"kind": "train", **row, "train_loss": 1.0})
            run.append_metrics({"kind": "eval", **row, "val_top1": top1 - 3 + epoch})
        if state == "completed":
            run.write_summary(summary(trial_id, top1))

    def write(self, search=None, space=None):
        plan = PlanRecord(
            sweep="s", sweep_hash="0", created_utc="", backend="local", trials=tuple(self.trials)
        )
        self.sweep_dir.update_plan(plan)
        if search is not None:
            SearchDir(self.sweep_dir).write_search(
                SearchRecord(
                    name="s", source="s.yaml", search=search, space=space, config=CONFIG,
                    seeds=(7,), cwd="/",
                )
            )  # fmt: skip
        return self.sweep_dir.path


@pytest.fixture
def grid(tmp_path):
    sweep = Sweep(tmp_path / "runs" / "2026-01-01_s_0000")
    sweep.add("teacher", {}, role="teacher")
    sweep.add("soft", {"distill.kind": "soft", "distill.temperature": 3.0})
    sweep.add("hard", {"distill.kind": "hard", "distill.temperature": None}, top1=70.0)
    sweep.add("pruned", {"distill.kind": "soft", "distill.temperature": 1.0}, "pruned", epochs=1)
    sweep.add("failed", {"distill.kind": "soft", "distill.temperature": 5.0}, "failed", epochs=0)
    sweep.add("begun", {"distill.kind": "soft", "distill.temperature": 7.0}, "running", epochs=2)
    sweep.add("new", {"distill.kind": "soft", "distill.temperature": 9.0}, "new")
    return sweep.write()


def export(sweep, target, *options):
    code, out, err = call("export-optuna", sweep, "--to", target, *options)
    assert code == 0, err
    return out


@contextmanager
def dashboard(storage):
    """A real optuna-dashboard on loopback; yields a function that asks its HTTP API."""
    port = free_port()
    command = [sys.executable, "-c", "from optuna_dashboard._cli import main; main()", storage]
    server = subprocess.Popen([*command, "--host", "127.0.0.1", "--port", str(port), "--quiet"])

    def ask(path):
        address = f"http://127.0.0.1:{port}/api/{path}"
        with suppress(URLError), urlopen(address, timeout=30) as answer:
            return json.load(answer)
        assert server.poll() is None
        return None

    try:
        until(lambda: ask("studies"), 60)
        yield ask
    finally:
        server.terminate()
        server.wait(30)


@pytest.mark.slow
def test_the_dashboard_shows_the_sweep(grid, tmp_path):
    target = f"sqlite:///{tmp_path}/study.db"
    out = export(grid, target)
    assert "6 trials" in out
    assert f"optuna-dashboard {target}\n" in out
    with dashboard(target) as ask:
        (study,) = ask("studies")["study_summaries"]
        assert study["study_name"] == grid.name
        detail = ask(f"studies/{study['study_id']}")
    assert detail["directions"] == ["maximize"]
    trials = [
        (
            {one["key"]: one["value"] for one in trial["user_attrs"]}["name"],
            trial["state"],
            {one["name"]: one["param_external_value"] for one in trial["params"]},
            trial.get("values"),
            [(one["step"], one["value"]) for one in trial["intermediate_values"]],
        )
        for trial in detail["trials"]
    ]
    kind, temperature = "distill.kind", "distill.temperature"
    assert trials == [
        ("soft", "Complete", {kind: "soft", temperature: "3.0"}, [80], [(1, 78), (2, 79), (3, 80)]),
        ("hard", "Complete", {kind: "hard"}, [70], [(1, 68), (2, 69), (3, 70)]),
        ("pruned", "Pruned", {kind: "soft", temperature: "1.0"}, None, [(1, 78)]),
        ("failed", "Fail", {kind: "soft", temperature: "5.0"}, None, []),
        ("begun", "Running", {kind: "soft", temperature: "7.0"}, None, [(1, 78), (2, 79)]),
        ("new", "Waiting", {kind: "soft", temperature: "9.0"}, None, []),
    ]


def load(path):
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    return optuna.load_study(study_name=None, storage=storage)


def test_a_search_keeps_its_space_goals_and_constraints(tmp_path):
    space = Space(
        parameters=(
            Parameter(field="optim.lr", range=Range(low=1e-5, high=1e-2, log=True)),
            Parameter(field="model.depth", range=Range(low=2.0, high=12.0, int=True)),
            Parameter(field="distill.kind", choices=("none", "soft")),
        )
    )
    search = Search(
        method="tpe",
        trials=4,
        objective=("val_top1", "parameters"),
        constraints=("train_images_per_s >= 300",),
    )
    sweep = Sweep(tmp_path / "runs" / "2026-01-01_s_0000")
    sweep.add("a", {"optim.lr": 1e-3, "model.depth": 4, "distill.kind": "none"})
    sweep.add("b", {"optim.lr": 1e-4, "model.depth": 6, "distill.kind": "soft"}, "pruned")
    export(sweep.write(search, space), tmp_path / "study.log")
    study = load(tmp_path / "study.log")
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["val_top1", "parameters"]
    done, pruned = study.trials
    assert (done.state, done.values) == (TrialState.COMPLETE, [80.0, 1000.0])
    assert (pruned.state, pruned.params["optim.lr"]) == (TrialState.PRUNED, 1e-4)
    assert done.distributions == {
        "optim.lr": FloatDistribution(1e-5, 1e-2, log=True),
        "model.depth": IntDistribution(2, 12),
        "distill.kind": CategoricalDistribution(("none", "soft")),
    }
    assert study.user_attrs["constraints"] == ["train_images_per_s >= 300"]
    assert [*done.constraints.values()] == [300 - 30 * 16 / 2]
    assert done.user_attrs["train_images_per_s"] == 240
    assert done.user_attrs["seed"] == 7
    assert done.datetime_start.timestamp() == BEGAN
    assert done.datetime_complete.timestamp() == ENDED


def test_a_grid_has_choices_and_many_numbers_are_a_range(tmp_path):
    sweep = Sweep(tmp_path / "runs" / "2026-01-01_s_0000")
    for index in range(11):
        swept = {"optim.lr": 1.0 + index, "optim.betas": [0.9, 0.9 + 0.05 * (index % 2)]}
        sweep.add(f"t{index}", swept)
    export(sweep.write(), tmp_path / "study.log", "--objective", "train_images_per_s")
    study = load(tmp_path / "study.log")
    first = study.trials[0]
    assert first.distributions["optim.lr"] == FloatDistribution(1.0, 11.0)
    assert first.params["optim.betas"] == "[0.9, 0.9]"
    assert len(first.distributions["optim.betas"].choices) == 2
    assert (study.direction.name, first.value) == ("MAXIMIZE", 240)


def test_exporting_again_replaces_the_file_whole_or_not_at_all(grid, tmp_path, monkeypatch):
    target = tmp_path / "study.log"
    export(grid, target)
    before = load(target).trials
    assert call("export-optuna", grid, "--to", target)[::2] == (
        2,
        f"{target} is there already; --force replaces it",
    )
    export(grid, target, "--force")
    assert load(target).trials == before
    content = target.read_bytes()

    def full(storage, study):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage_module, "_fill", full)
    code, _, message = call("export-optuna", grid, "--to", target, "--force")
    assert code == 2
    assert "No space left" in message
    assert target.read_bytes() == content
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == [target.name]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "foo://x/y"], "foo://x/y cannot be opened: Can't load plugin"),
        (["--to", "postgresql://me:secret@h/d"], r"postgresql://me:\*\*\*@h/d cannot be opened"),
        (["--to", "sqlite://"], "sqlite:// names no file; give one"),
        (["--to", "."], r"\. is a folder; name a file"),
        (["--to", ""], "--to names no storage; give sqlite:///study.db"),
        (["--to", "p.db"], "p.db is a database's name.* give sqlite:///p.db"),
        (["--to", "sqlite:///nodir/x.db"], "nodir is no folder; make it first"),
        (["--to", "nodir/x.log"], "nodir is no folder; make it first"),
        (
            ["--to", "x.log", "--objective", "val_ema_top1"],
            "no trial reports val_ema_top1: there is no average of weights where",
        ),
        (
            ["--to", "x.log", "--objective", "speed"],
            "'speed' is no objective; choose from val_top1",
        ),
    ],
)
def test_a_storage_or_objective_that_cannot_be_used(grid, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    code, _, error = call("export-optuna", grid, *options)
    assert code == 2
    assert re.match(message, error)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_completed_trials_without_the_objective_are_counted_aloud(tmp_path):
    sweep = Sweep(tmp_path / "runs" / "2026-01-01_s_0000")
    sweep.add("alone", {"optim.lr": 1.0})
    sweep.add("beside", {"optim.lr": 2.0})
    path = sweep.write()
    lone, beside = (RunDir(path / "trials" / trial.trial_id) for trial in sweep.trials)
    beside.write_summary(summary(beside.path.name, 80.0).model_copy(update={"cohort_size": 2}))
    out = export(path, tmp_path / "study.log", "--objective", "train_images_per_s")
    assert "1 completed trial without an objective's value counted as fail" in out
    lone.write_summary(summary(lone.path.name, 80.0).model_copy(update={"cohort_size": 2}))
    target = ("--to", tmp_path / "study.log", "--objective", "train_images_per_s", "--force")
    code, _, error = call("export-optuna", path, *target)
    assert (code, error) == (
        2,
        "no trial reports train_images_per_s: none of 2 completed trials has it; "
        "give another --objective",
    )
