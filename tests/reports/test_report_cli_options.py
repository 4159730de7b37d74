"""--from, --format, --open, --watch: what is written, what is said, and what is left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path

import pytest
from rich_sweep import rich_sweep
from sweep_writer import KindsWriter, SweepWriter
from test_report_cli import GOOD, call, refused

from deit_core.run_dir import RunDir
from reports.commands.compile import Request
from reports.commands.watch import compile_until_ended
from reports.load import load_sweep
from reports.load_trial import TrialReader

Run = Callable[..., tuple[int, str, str]]
FORMATS = "html,md,csv,json,tex,svg,pdf"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    return lambda *args: call(monkeypatch, capsys, *args)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


# results.json is the source of all ----------------------------------------------------------


def test_every_file_comes_back_from_results_json_alone(run: Run, tmp_path: Path) -> None:
    """In another process, folder, time zone and hash seed; with the run directories gone."""
    path = rich_sweep(tmp_path / "runs" / "rich")
    assert run(path)[0] == 0
    first = contents(path / "report")
    endings = {Path(name).suffix for name in first}
    assert endings == {".html", ".md", ".csv", ".json", ".tex", ".svg", ".pdf"}
    report = path / "report"
    report.rename(tmp_path / "kept")
    path.rename(tmp_path / "gone")
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    environment = os.environ | {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    code = "import sys; from reports.cli import main; main()"
    command = [sys.executable, "-c", code, "--from", "../kept/results.json", "--output", "new"]
    subprocess.run(command, cwd=elsewhere, env=environment, check=True, capture_output=True)
    again = contents(elsewhere / "new")
    assert again.keys() == first.keys()
    assert [name for name in first if again[name] != first[name]] == []


def test_from_writes_beside_its_file_and_keeps_the_options(run: Run, kinds: KindsWriter) -> None:
    path = kinds(**GOOD)
    run(path, "--baseline", "kind=hard")
    before = contents(path / "report")
    (path / "report/index.html").unlink()
    code, out, _ = run("--from", path / "report/results.json")
    assert code == 0
    assert out.splitlines()[-1] == f"report: {path}/report/index.html"
    assert contents(path / "report") == before
    run("--from", path / "report/results.json", "--baseline", "kind=none", "--output", "other")
    values = json.loads(Path("other/results.json").read_text("utf-8"))
    assert values["options"]["baseline"] == "kind=none"
    assert values["variants"][0]["comparison"]["delta"] > 0


def test_source_date_epoch_dates_the_report(
    run: Run, kinds: KindsWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kinds(**GOOD)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    run(path)
    assert "1970-01-02T00:00:00Z" in (path / "report/index.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is damaged: it is not JSON"),
        ("[" * 100_000, "is damaged: it is nested too deeply"),
        ('{"a": NaN}', "is damaged: it holds NaN"),
        ("[]", "is no results.json of deit-report"),
        ('{"schema_version": 1, "trial_id": "x"}', "is no results.json of deit-report"),
        ('{"schema_version": 99, "variants": []}', "has schema version 99, this program reads"),
        ('{"schema_version": 1, "variants": []}', "is from an older version"),
        ('{"schema_version": 2, "variants": []}', "is damaged"),
        ('{"schema_version": 2, "input": {}, "options": {}}', "'configs' is missing"),
    ],
)
def test_a_results_json_that_is_none(run: Run, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "results.json").write_text(text, encoding="utf-8")
    assert words in refused(run("--from", "results.json"))
    assert list(tmp_path.iterdir()) == [tmp_path / "results.json"]


def test_a_results_json_that_was_changed_by_hand(run: Run, kinds: KindsWriter) -> None:
    path = kinds(**GOOD)
    run(path, "--format", "json")
    file = path / "report/results.json"
    text = file.read_text("utf-8")
    for old, new in (
        ('"val_images": 360', '"val_images": 0'),
        ('"links": "../trials"', '"links": "javascript:alert(1)//"'),
        ('"val_top1": 80.1', '"val_top1": 801'),
        ('"state": "completed"', '"state": "splendid"'),
        ('"problems": []', '"problems": 3'),
    ):
        assert old in text
        file.write_text(text.replace(old, new), encoding="utf-8")
        assert "damaged" in refused(run("--from", file, "--output", "new"))


def test_from_nothing(run: Run) -> None:
    assert "there is no nothing.json; give the results.json" in refused(
        run("--from", "nothing.json")
    )


# formats ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("html", {"index.html"}),
        ("md", {"report.md", "figures/accuracy.svg"}),
        ("csv,json", {"results.csv", "summary.csv", "results.json"}),
        ("SVG, pdf", {"figures/accuracy.svg", "figures/accuracy.pdf"}),
    ],
)
def test_only_what_is_asked_for_is_written(
    run: Run, kinds: KindsWriter, asked: str, expected: set[str]
) -> None:
    path = kinds(**GOOD)
    (path / "report/figures").mkdir(parents=True)
    (path / "report/mine.txt").write_text("mine")
    code, out, _ = run(path, "--format", asked)
    assert code == 0
    found = {name for name in contents(path / "report") if not name.startswith("figures/effects")}
    assert found == expected | {"mine.txt"}
    assert out.splitlines()[-1].startswith(f"report: {path}/report")


@pytest.mark.parametrize("asked", ["docx", "html,docx", "", ","])
def test_an_unknown_format_names_the_valid_ones(run: Run, kinds: KindsWriter, asked: str) -> None:
    message = refused(run(kinds(**GOOD), "--format", asked))
    assert f"valid: {FORMATS}" in message


def test_links_are_right_from_any_output(run: Run, writer: SweepWriter, tmp_path: Path) -> None:
    from urllib.parse import unquote

    writer.path = tmp_path / "my runs #1" / "50 % 'a'"
    writer.variant({"distill.kind": "none"}, [80.0, 81.0])
    run(writer.finish(), "--output", "out/deep er")
    out = Path("out/deep er")
    text = (out / "results.json").read_text("utf-8")
    links = unquote(json.loads(text)["input"]["links"])
    assert (out / links).samefile(writer.path / "trials")
    assert f'href="{json.loads(text)["input"]["links"]}/' in (out / "index.html").read_text("utf-8")


# the browser --------------------------------------------------------------------------------


@pytest.mark.parametrize("there", [True, False])
def test_open(
    run: Run, kinds: KindsWriter, monkeypatch: pytest.MonkeyPatch, *, there: bool
) -> None:
    opened: list[str] = []

    def browser(url: str) -> bool:
        opened.append(url)
        return there

    monkeypatch.setattr(webbrowser, "open", browser)
    path = kinds(**GOOD)
    code, out, _ = run(path, "--open", "--format", "html")
    assert code == 0
    assert opened == [(path / "report/index.html").as_uri()]
    assert ("no browser was found here; the page is file://" in out) is not there
    assert "add html to --format" in refused(run(path, "--open", "--format", "md"))


# watching -----------------------------------------------------------------------------------


def test_watching_compiles_what_changed_until_all_has_ended(
    writer: SweepWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = writer.variant({"distill.kind": "none"}, [80.0, 81.0, "running"])
    path = writer.finish()
    page = path / "report/index.html"
    rounds: list[str] = []

    def wait(seconds: float) -> None:
        assert seconds >= 1
        rounds.append(page.read_text("utf-8"))
        if len(rounds) == 2:
            planned = writer.planned[-1]
            summary = RunDir(runs[0].path).read_summary()
            assert summary is not None
            status = runs[0].read_status()
            runs[2].write_summary(summary.model_copy(update={"trial_id": planned.trial_id}))
            runs[2].write_status(status)

    compile_until_ended(Request(path, formats="html"), 1.0, wait)
    assert len(rounds) == 2
    assert rounds[0] == rounds[1]
    assert "(partial: 2 of 3 trials have ended)" in rounds[0]
    assert "partial" not in page.read_text("utf-8")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4  # the folder, two reports as one round had nothing new, the end
    assert "2 trials of 3 ended, 1 running, 0 failed; partial report: " in lines[1]
    assert "3 trials of 3 ended, 0 running, 0 failed; report: " in lines[2]
    assert lines[3] == "all of it has ended"


def test_only_what_changed_is_read_again(writer: SweepWriter) -> None:
    runs = writer.variant({"distill.kind": "none"}, [80.0, 81.0, "running"])
    path = writer.finish()
    reader = TrialReader(path / "trials", remembers=True)
    first = load_sweep(path, None, reader)
    assert load_sweep(path, None, reader) == first
    assert reader.reused == 3
    runs[2].write_status(runs[2].read_status().model_copy(update={"step": 240}))
    second = load_sweep(path, None, reader)
    assert reader.reused == 5
    assert "240" in str(second.trials[2].reason)


def test_ctrl_c_leaves_a_whole_report(kinds: KindsWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    path = kinds(none=[80.0, "running"])

    def wait(_: float) -> None:
        raise KeyboardInterrupt  # not SIGINT: it is ignored where this runs in the background

    monkeypatch.setattr(
        sys, "argv", ["deit-report", str(path), "--watch", "--every", "1", "--format", "html"]
    )
    monkeypatch.setattr(compile_until_ended, "__defaults__", (wait,))
    from reports import cli

    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 130
    assert "</html>" in (path / "report/index.html").read_text("utf-8")


def test_watch_needs_a_folder(run: Run) -> None:
    assert "it cannot go with --from" in refused(run("--watch", "--from", "results.json"))
