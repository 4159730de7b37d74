"""Files that were cut, overwritten or are something else: named in the report, never fatal.

A byte that is damaged into another digit cannot be told from a result; what can be told must be.
"""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from rich_sweep import rich_sweep
from sweep_writer import SweepWriter

from deit_core.run_dir import RunDir, read_json, write_json
from reports.errors import ReportError
from reports.load import load_sweep
from reports.report import compile_report
from reports.results import SweepResults
from reports.write import write_report

PLAIN = ("html", "md", "csv", "json", "tex")
"""Drawing takes seconds and has tests of its own."""
GARBAGE = (b"", b"\x00" * 40, b"\x89PNG\r\n\x1a\n", b"null", b"[]", b"3", b'"text"', b"{}", b"{",
           b"[" * 50_000, b'{"schema_version": 99}', b'{"schema_version": "1"}')  # fmt: skip


def said(sweep: SweepResults) -> list[str]:
    """Everything that is named as missing, damaged or left out."""
    reasons = [f"{t.planned.trial_id} {t.state} {t.reason}" for t in sweep.trials if not t.result]
    problems = [f"{t.planned.trial_id} {one}" for t in sweep.trials for one in t.problems]
    return [*reasons, *problems, *sweep.problems]


def numbers(sweep: SweepResults) -> SweepResults:
    """All but words; the sweep file is shown as it stands, whatever it says."""
    return replace(sweep, problems=(), sweep_yaml=None)


def compiled(sweep: SweepResults, output: Path) -> dict[str, str]:
    write_report(compile_report(sweep), output, PLAIN)
    return {name: (output / name).read_text("utf-8") for name in ("index.html", "report.md")}


def damage(file: Path, chance: random.Random) -> None:
    """Cut a file, or put bytes into it that no text has."""
    data = bytearray(file.read_bytes())
    kind = chance.choice(("cut", "flip", "garbage"))
    if kind == "garbage":
        data = bytearray(chance.choice(GARBAGE))
    elif kind == "cut":
        del data[chance.randrange(max(1, len(data.rstrip()))) :]
    else:
        for _ in range(chance.choice((1, 1, 5))):
            data[chance.randrange(len(data))] = chance.randrange(0x80, 0x100)
    file.write_bytes(data)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rich_sweep(tmp_path_factory.mktemp("fuzz") / "rich")


@pytest.mark.parametrize("seed", range(6))
def test_damage_is_named_or_changes_nothing(whole: Path, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    path = tmp_path / "rich"
    shutil.copytree(whole, path)
    files: dict[str, list[Path]] = {}
    for file in sorted(p for p in path.rglob("*") if p.is_file() and p.name != "plan.json"):
        files.setdefault(file.name, []).append(file)
    before = load_sweep(path)
    for _ in range(15):
        hit = chance.choice(files[chance.choice(sorted(files))])
        kept = hit.read_bytes()
        damage(hit, chance)
        after = load_sweep(path)
        same = numbers(after) == numbers(before)
        assert same or set(said(after)) - set(said(before)), f"{hit} changed the report silently"
        hit.write_bytes(kept)
    damage(hit, chance)  # whatever is read can be compiled
    texts = compiled(load_sweep(path), tmp_path / "out")
    for text in set(said(load_sweep(path))) - set(said(before)):
        assert text.split()[0] in texts["index.html"]


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_plan_is_one_line(whole: Path, tmp_path: Path, seed: int) -> None:
    shutil.copy(whole / "plan.json", tmp_path)
    damage(tmp_path / "plan.json", random.Random(seed))
    with pytest.raises(ReportError) as error:
        load_sweep(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("name", ["summary.json", "metrics.jsonl", "throughput.json"])
def test_garbage_in_a_file(writer: SweepWriter, name: str, garbage: bytes) -> None:
    first, _ = writer.variant({"distill.kind": "none"}, [80.0, 81.0])
    path = writer.finish()
    (first.path / name).write_bytes(garbage)
    (trial, other) = load_sweep(path).trials
    assert other.result
    assert other.problems == ()
    assert trial.problems or trial.state == "damaged"
    assert name in f"{trial.problems} {trial.reason}"


# one by one ---------------------------------------------------------------------------------


def changed(writer: SweepWriter, **values: object) -> tuple[SweepResults, RunDir]:
    first, _ = writer.variant({"distill.kind": "none"}, [80.0, 81.0])
    file = first.summary_file
    text = json.dumps(read_json(file) | values)
    file.write_text(text.replace('"1e999"', "1e999"), encoding="utf-8")
    return load_sweep(writer.finish()), first


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"val_loss": float("nan")}, "it holds NaN, which is no number"),
        ({"val_loss": float("-inf")}, "it holds -Infinity"),
        ({"val_loss": "1e999"}, "val_loss is beyond all that can be meant"),
        ({"train_loss": 1e300}, "train_loss is beyond"),
        ({"val_top1": 801.0}, "val_top1 is 801, which is no percentage"),
        ({"val_top1": -1}, "val_top1 is -1, which is no percentage"),
        ({"val_images": 0}, "val_images is 0"),
        ({"finished_unix_s": 1e14}, "finished_unix_s is beyond"),
        ({"finished_unix_s": -5.0}, "finished_unix_s is negative"),
        ({"parameters": 10**400}, "parameters is beyond"),
        ({"val_top1": [80]}, "val_top1"),
        ({"trial_id": "other"}, "holds the result of trial other"),
    ],
)
def test_impossible_numbers_are_no_result(
    writer: SweepWriter, values: dict[str, object], words: str
) -> None:
    sweep, _ = changed(writer, **values)
    assert sweep.trials[0].state == "damaged"
    assert words in str(sweep.trials[0].reason)
    assert sweep.trials[1].result
    text = json.dumps(compile_report(sweep).context.answer)
    assert "NaN" not in text


def test_a_curve_that_does_not_go_with_the_result(writer: SweepWriter) -> None:
    runs = writer.variant({"distill.kind": "none"}, [80.0, 81.0, 82.0, 83.0])
    rows = [
        {"kind": "eval", "step": 360 * n, "epoch": 20.0 * n, "val_top1": 40.0 * n} for n in (1, 2)
    ]
    for run in runs:
        run.append_metrics(rows[0])
    runs[0].append_metrics(rows[1])
    runs[1].append_metrics(rows[1])
    with open(runs[3].metrics_file, "ab") as file:
        file.write(b'{"kind": "eval", "step": 720, "val_top1": NaN}\n')
    trials = load_sweep(writer.finish()).trials
    assert trials[0].problems == ()
    assert "disagree on the last accuracy: 80 and 81" in trials[1].problems[0]
    assert trials[2].problems == ("metrics.jsonl ends at step 360 of 720: its curve is cut",)
    assert trials[3].problems[0] == "metrics.jsonl: 1 damaged line left out"


def test_a_folder_where_a_file_should_be(writer: SweepWriter) -> None:
    first, second = writer.variant({"distill.kind": "none"}, [80.0, 81.0])
    first.summary_file.unlink()
    first.summary_file.mkdir()
    second.metrics_file.mkdir()
    one, two = load_sweep(writer.finish()).trials
    assert one.reason == "summary.json cannot be read: Is a directory"
    assert two.problems[0] == "metrics.jsonl cannot be read: Is a directory"


def test_a_plan_that_contradicts_itself(writer: SweepWriter, tmp_path: Path) -> None:
    writer.variant({"distill.kind": "none"}, [80.0, 81.0])
    path = writer.finish()
    plan = read_json(path / "plan.json")
    first = plan["trials"][0]
    plan["trials"] += [first, first | {"trial_id": "twin"}, first | {"trial_id": "../../evil"}]
    write_json(path / "plan.json", plan)
    sweep = load_sweep(path)
    assert [trial.state for trial in sweep.trials] == [
        "completed",
        "completed",
        "damaged",
        "damaged",
    ]
    assert sweep.problems == (
        f"plan.json lists trial {first['trial_id']} more than once: it counts once",
    )
    assert "has seed 0 of this variant twice" in str(sweep.trials[2].reason)
    assert "is no name of a run directory" in str(sweep.trials[3].reason)
    page = compiled(sweep, tmp_path / "out")["index.html"]
    assert "more than once" in page
    assert "2/4" in page


@pytest.mark.parametrize("teacher", [True, False])
def test_an_empty_plan_has_a_report(writer: SweepWriter, tmp_path: Path, *, teacher: bool) -> None:
    if teacher:
        writer.teacher(92.0)
    texts = compiled(load_sweep(writer.finish()), tmp_path / "out")
    for text in texts.values():
        assert "The plan of this sweep lists no trial to compare" in text


def test_all_failed(writer: SweepWriter, tmp_path: Path) -> None:
    writer.variant({"distill.kind": "none"}, ["failed", "failed"])
    writer.variant({"distill.kind": "soft"}, ["failed", "failed"])
    texts = compiled(load_sweep(writer.finish()), tmp_path / "out")
    assert "No trial has a result: all 4 failed." in texts["index.html"]


def test_characters_that_no_page_can_hold(writer: SweepWriter, tmp_path: Path) -> None:
    writer.variant({"model.name": "NAME"}, [80.0, 81.0])
    writer.variant({"model.name": "=cmd|'/c calc'!A1"}, [80.0, 81.0])
    plan = writer.finish() / "plan.json"
    hostile = r"a\u0000\u001b[31m\ud800\uffffb"
    plan.write_text(plan.read_text("utf-8").replace("NAME", hostile), encoding="utf-8")
    write_report(compile_report(load_sweep(writer.path)), tmp_path / "out")
    rows = (tmp_path / "out/results.csv").read_text("utf-8")
    assert "a\ufffd\ufffd[31m\ufffd\ufffdb" in rows
    assert "'=cmd|'/c calc'!A1" in rows
