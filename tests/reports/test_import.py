"""Runs of other programs: what is read, what stays unknown, and a report made from them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml
from torch.utils.tensorboard import SummaryWriter

from reports import cli
from reports.errors import ReportError
from reports.export import json_text
from reports.importers.deit_log import read_deit_log
from reports.importers.event_files import read_events
from reports.importers.find import find_runs
from reports.importers.run import Reading, UnreadableRunError
from reports.importers.timm_summary import read_timm
from reports.load import load_sweep, resolve_sweep
from reports.render.markdown import render_markdown
from reports.report import compile_report
from reports.results_file import read_results

DEFAULT = Reading()


def deit_log(folder: Path, top1: list[float], more: str = "") -> Path:
    """log.txt as main.py of facebookresearch/deit writes it."""
    folder.mkdir(parents=True)
    lines = [
        json.dumps(
            {
                "train_lr": 1.0e-06, "train_loss": 6.9077 - epoch, "test_loss": 3.2 - epoch / 10,
                "test_acc1": value, "test_acc5": value + 10, "epoch": epoch,
                "n_parameters": 5717416,
            }
        )
        for epoch, value in enumerate(top1)
    ]  # fmt: skip
    (folder / "log.txt").write_text("\n".join(lines) + "\n" + more, encoding="utf-8")
    return folder / "log.txt"


def timm_run(folder: Path, top1: list[float], **args: object) -> Path:
    """summary.csv and args.yaml as timm's train.py writes them."""
    folder.mkdir(parents=True)
    lines = ["epoch,train_loss,eval_loss,eval_top1,eval_top5,lr"]
    lines += [f"{e},6.8,5.{e},{value},{value + 10},0.0005" for e, value in enumerate(top1)]
    (folder / "summary.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    known = {
        "model": "deit_tiny_patch16_224", "epochs": len(top1), "seed": 42, "opt": "adamw",
        "lr": None, "weight_decay": 0.05, "img_size": None, "num_classes": 1000, "mixup": 0.8,
    }  # fmt: skip
    (folder / "args.yaml").write_text(yaml.safe_dump(known | args), encoding="utf-8")
    return folder / "summary.csv"


def events(folder: Path, tag: str, top1: list[float], every: int = 100) -> Path:
    writer = SummaryWriter(log_dir=str(folder))
    for number, value in enumerate(top1, start=1):
        writer.add_scalar(tag, value, number * every, walltime=1_795_000_000.0 + number)
        writer.add_scalar("val/loss", 1 / number, number * every)
    writer.close()
    return folder


def test_a_deit_log(tmp_path: Path) -> None:
    run = read_deit_log(deit_log(tmp_path / "run", [0.5, 71.0, 70.5]), DEFAULT)
    assert [row["epoch"] for row in run.rows] == [1, 2, 3]
    assert run.rows[-1]["val_top1"] == 70.5  # the last, not the best
    assert (run.parameters, run.seed, run.settings) == (5717416, None, {})


def test_a_resumed_log_and_damaged_lines(tmp_path: Path) -> None:
    again = json.dumps({"epoch": 1, "test_acc1": 55.0}) + "\n{broken\n[]\n" + '{"epoch": NaN}\n'
    run = read_deit_log(deit_log(tmp_path / "run", [40.0, 50.0], again), DEFAULT)
    assert [row["val_top1"] for row in run.rows] == [40.0, 55.0]
    assert run.notes == ("log.txt: 3 damaged lines left out",)


def test_a_timm_run(tmp_path: Path) -> None:
    run = read_timm(timm_run(tmp_path / "run", [10.0, 72.5], model_ema=True), DEFAULT)
    assert run.rows[-1] == {
        "epoch": 2, "val_top1": 72.5, "val_top5": 82.5, "val_loss": 5.1, "train_loss": 6.8
    }  # fmt: skip
    assert run.settings == {
        "model.name": "deit_tiny_patch16_224", "train.duration": "2ep", "optim.name": "adamw",
        "optim.weight_decay": 0.05, "augment.mixup_alpha": 0.8,
    }  # fmt: skip
    assert (run.seed, run.num_classes, run.parameters) == (42, 1000, None)
    assert "averaged weights" in run.notes[0]


def test_a_header_in_the_middle_and_a_torn_line(tmp_path: Path) -> None:
    file = timm_run(tmp_path / "run", [10.0, 20.0])
    text = file.read_text(encoding="utf-8")
    file.write_text(text + text.replace("20.0", "21.0") + "2,6.", encoding="utf-8")
    run = read_timm(file, DEFAULT)
    assert [row["val_top1"] for row in run.rows] == [10.0, 21.0]
    assert run.notes == ("summary.csv: 1 damaged line left out",)


def test_event_files_keep_every_point(tmp_path: Path) -> None:
    values = [50.0 + n / 1000 for n in range(12_000)]
    run = read_events(events(tmp_path / "run", "val/top1", values), DEFAULT)
    assert len(run.rows) == len(values)  # the accumulator's own default keeps 10,000
    last = run.rows[-1]
    assert last["step"] == 1_200_000
    assert last["val_top1"] == pytest.approx(values[-1], abs=1e-4)
    assert last["unix_s"] == 1_795_012_000.0
    assert run.metric == "val/top1"
    assert "epoch" not in last


def test_a_tag_of_ones_own_and_its_unit(tmp_path: Path) -> None:
    folder = events(tmp_path / "run", "accuracy", [0.5, 0.75])
    with pytest.raises(UnreadableRunError, match=r"--metric, of accuracy and val/loss"):
        read_events(folder, DEFAULT)
    with pytest.raises(UnreadableRunError, match="--unit fraction or --unit percent"):
        read_events(folder, Reading(metric="accuracy"))
    run = read_events(folder, Reading(metric="accuracy", unit="fraction"))
    assert [row["val_top1"] for row in run.rows] == [50.0, 75.0]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("log.txt", "", "no line of a DeiT log"),
        ("log.txt", "hello\n", "no line of a DeiT log"),
        ("log.txt", '{"epoch": 0, "test_loss": 1}\n', "no top-1 accuracy"),
        ("log.txt", '{"epoch": 0, "test_acc1": 180}\n', "no percentage"),
        ("summary.csv", "", "no columns epoch and eval_top1"),
        ("summary.csv", "epoch,eval_top1\n", "no top-1 accuracy"),
        ("summary.csv", "\0\0", "no columns"),
    ],
)
def test_files_without_a_run(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    read = read_deit_log if name == "log.txt" else read_timm
    with pytest.raises(UnreadableRunError, match=said):
        read(tmp_path / name, DEFAULT)


def test_runs_are_found_by_their_files(tmp_path: Path) -> None:
    deit_log(tmp_path / "all/deit", [1.0])
    timm_run(tmp_path / "all/deeper/timm", [2.0])
    events(tmp_path / "all/events", "val/top1", [3.0])
    found = find_runs(str(tmp_path / "all"))
    assert [(one.program, one.name) for one in found] == [
        ("timm", "deeper/timm"), ("deit", "deit"), ("tensorboard", "events"),
    ]  # fmt: skip
    assert [one.program for one in find_runs(str(tmp_path / "all"), "deit")] == ["deit"]
    with pytest.raises(ReportError, match="holds no run"):
        find_runs(str(tmp_path / "all/deit"), "timm")


def call(monkeypatch: pytest.MonkeyPatch, *args: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["deit-report", *map(str, args)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


def test_from_foreign_files_to_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, last in enumerate((71.9, 72.3, 72.0)):
        deit_log(tmp_path / f"a{seed}", [10.0, 75.0, last])
        timm_run(tmp_path / f"b/{seed}", [10.0, 80.0, last + 2], seed=seed)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/log.txt").write_text("nothing", encoding="utf-8")
    out = tmp_path / "imported"
    sources = [f"plain={tmp_path / f'a{seed}'}" for seed in range(3)]
    code = call(monkeypatch, "import", *sources, tmp_path / "b", tmp_path / "broken",
                "--output", out)  # fmt: skip
    said = capsys.readouterr()
    assert code == 0
    assert "imported 6 runs" in said.out
    assert "skipped: " in said.err
    assert "broken" in said.err

    sweep = load_sweep(resolve_sweep(out))
    assert all(trial.config is None and trial.summary is None for trial in sweep.trials)
    report = compile_report(sweep)
    plain, timm = report.context.analysis.variants
    assert (plain.label, sorted(plain.values.values())) == ("run=plain", [71.9, 72.0, 72.3])
    assert sorted(timm.values) == [0, 1, 2]  # the seeds of args.yaml
    assert timm.label == "run=deit_tiny_patch16_224"
    text = render_markdown(report)
    assert "6 runs of other programs, imported: the value of the last epoch counts" in text
    assert "The seeds of 3 imported runs are not known" in text
    assert "unknown number of val images" in text
    assert "Not imported: " in text
    assert "## Learning curves" in text

    assert call(monkeypatch, out) == 0
    values = json.loads((out / "report/results.json").read_text(encoding="utf-8"))
    trial = values["trials"][0]
    assert (trial["val_top1"], trial["epochs"], trial["parameters"]) == (71.9, 3.0, 5717416)
    unknown = ("val_images", "train_images", "train_s", "steps", "cohort_size")
    assert [trial[key] for key in unknown] == [None] * len(unknown)
    again, options = read_results(out / "report/results.json")
    assert json_text(compile_report(again, options)) == (out / "report/results.json").read_text(
        encoding="utf-8"
    )


def test_what_the_user_states_makes_a_run_comparable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(3):
        timm_run(tmp_path / f"runs/{seed}", [1.0, 72.0 + seed / 10], seed=seed)
    stated = ("model.img_size=224", "distill.kind=none", "data.source=imagenet", "val_images=50000")
    out = tmp_path / "out"
    sets = [word for pair in stated for word in ("--set", pair)]
    assert call(monkeypatch, "import", tmp_path / "runs", "--output", out, *sets) == 0
    assert call(monkeypatch, out, "--reference", "deit", "--format", "md") == 0
    text = (out / "report/report.md").read_text(encoding="utf-8")
    assert "1 not distinguishable from the published number" in text
    assert "train.duration: 2ep here, 300ep published" in text.replace("\\", "")
    assert "Not known here: train.global_batch_size" in text.replace("\\", "")
    assert "stated at import" in text
    # Nothing is known of the data without that.
    assert call(monkeypatch, "import", tmp_path / "runs", "--output", tmp_path / "bare") == 0
    assert call(monkeypatch, tmp_path / "bare", "--reference", "deit", "--format", "md") == 0
    bare = (tmp_path / "bare/report/report.md").read_text(encoding="utf-8")
    assert "its resolution or its distillation is not known" in bare


def test_a_run_that_ended_early_is_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timm_run(tmp_path / "run", [1.0, 50.0], epochs=300)
    assert call(monkeypatch, "import", tmp_path / "run", "--output", tmp_path / "out") == 0
    (trial,) = load_sweep(tmp_path / "out").trials
    assert (trial.state, trial.result) == ("preempted", None)
    assert trial.reason is not None
    assert "its files end after 2 of 300 epochs" in trial.reason
    assert call(monkeypatch, tmp_path / "out") == 0


def test_event_files_alone_give_every_file_of_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, top1 in (("one", [50.0, 60.0]), ("two", [55.0, 62.0])):
        events(tmp_path / "tb" / name, "val/top1", top1)
    assert call(monkeypatch, "import", tmp_path / "tb", "--output", tmp_path / "out") == 0
    assert call(monkeypatch, tmp_path / "out") == 0
    assert (tmp_path / "out/report/index.html").is_file()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nowhere"], "there is no nowhere to import"),
        (["--set", "data.sorce=x", "run"], "did you mean data.source?"),
        (["--set", "val_images=0", "run"], "a number of at least 1"),
        (["--set", "kind", "run"], "write KEY=VALUE"),
        (["--format", "keras", "run"], "valid: deit, tensorboard, timm"),
        (["--unit", "permille", "run"], "valid: percent, fraction"),
        (["--metric", "nothing", "run"], "no run could be imported"),
    ],
)
def test_errors_are_one_line(
    args: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    deit_log(tmp_path / "run", [1.5])
    assert call(monkeypatch, "import", *args, "--output", "out") == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten_and_a_foreign_folder_is_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deit_log(tmp_path / "run", [1.5])
    assert call(monkeypatch, "import", tmp_path / "run", "--output", tmp_path / "run") == 2
    assert "is there already" in capsys.readouterr().err
    assert call(monkeypatch, tmp_path / "run") == 2
    assert "deit-report import" in capsys.readouterr().err
