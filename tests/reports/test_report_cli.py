"""deit-report as a user calls it: output, exit codes, one-line errors, a quick --help."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sweep_writer import KindsWriter

from deit_core.run_dir import read_json, write_json
from reports import cli

GOOD = {"none": [80.1, 81.3, 79.7], "hard": [82.9, 83.5, 82.1]}


def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *args: str | Path
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["deit-report", *map(str, args)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    out, err = capsys.readouterr()
    return int(stopped.value.code or 0), out, err


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    return lambda *args: call(monkeypatch, capsys, *args)


def test_a_report_from_reports_latest(run, kinds: KindsWriter, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = kinds(**GOOD)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/latest").symlink_to(os.path.relpath(path, tmp_path / "reports"))
    code, out, err = run()
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"sweep folder: {path.resolve()}"
    assert lines[1].startswith("Distillation helps here. Hard distillation is better")
    assert lines[-1] == f"report: {path.resolve()}/report/index.html"
    assert (path / "report/index.html").is_file()
    assert any("hard" in line and "3/3" in line and "better" in line for line in lines)


def test_output_option(run, kinds: KindsWriter, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = kinds(**GOOD)
    code, _, _ = run(path, "--output", "elsewhere")
    assert code == 0
    html = (tmp_path / "elsewhere/index.html").read_text(encoding="utf-8")
    assert 'href="../runs/2026-11-21_quick_abcd/trials/' in html
    assert not (path / "report").exists()


def test_a_damaged_run_directory_does_not_stop_the_report(run, kinds: KindsWriter) -> None:  # type: ignore[no-untyped-def]
    path = kinds(**GOOD)
    next(iter((path / "trials").iterdir())).joinpath("trial.json").unlink()
    code, out, _ = run(path)
    assert code == 0
    assert "1 damaged" in out


def refused(result: tuple[int, str, str]) -> str:
    code, _, err = result
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def test_no_latest_yet(run) -> None:  # type: ignore[no-untyped-def]
    assert "no reports/latest here yet; run `deit-launch sweep" in refused(run())


def test_latest_is_gone(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/latest").symlink_to("../runs/deleted")
    assert "points to" in refused(run())


def test_no_such_folder(run) -> None:  # type: ignore[no-untyped-def]
    assert "no sweep folder runs/nothing" in refused(run("runs/nothing"))


def test_a_file(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "sweep.yaml").touch()
    assert "sweep.yaml is a file" in refused(run("sweep.yaml"))


def test_a_folder_of_sweeps_names_one(run, kinds: KindsWriter) -> None:  # type: ignore[no-untyped-def]
    path = kinds(**GOOD)
    message = refused(run(path.parent))
    assert "has no plan.json" in message
    assert str(path.resolve()) in message


def test_a_folder_without_sweeps(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "holiday").mkdir()
    message = refused(run("holiday"))
    assert "holiday is not a sweep folder: it has no plan.json; run" in message


def test_a_plan_from_a_newer_version(run, kinds: KindsWriter) -> None:  # type: ignore[no-untyped-def]
    path = kinds(**GOOD)
    write_json(path / "plan.json", read_json(path / "plan.json") | {"schema_version": 99})
    assert "schema version 99, this program reads up to" in refused(run(path))


def test_a_torn_plan(run, kinds: KindsWriter) -> None:  # type: ignore[no-untyped-def]
    path = kinds(**GOOD)
    (path / "plan.json").write_text("{", encoding="utf-8")
    assert "plan.json is damaged" in refused(run(path))


def test_output_that_cannot_be_written(run, kinds: KindsWriter, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = kinds(**GOOD)
    (tmp_path / "file").touch()
    assert "cannot write" in refused(run(path, "--output", "file/report"))


def test_an_unknown_baseline(run, kinds: KindsWriter) -> None:  # type: ignore[no-untyped-def]
    message = refused(run(kinds(**GOOD), "--baseline", "kind=sfot"))
    assert message == (
        "error: --baseline 'kind=sfot' is no variant of this sweep; valid: kind=none; kind=hard\n"
    )


def test_a_bad_source_date_epoch(run, kinds: KindsWriter, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    assert "SOURCE_DATE_EPOCH is 'yesterday'" in refused(run(kinds(**GOOD)))


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['deit-report', '--help']\n"
        "from reports.cli import main\n"
        "try:\n    main()\nfinally:\n"
        "    assert not {'torch', 'scipy', 'numpy', 'matplotlib'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "reports/latest" in done.stdout


def test_a_report_never_imports_torch(kinds: KindsWriter) -> None:
    code = (
        "import sys\nfrom reports.cli import app\n"
        "app(standalone_mode=False)\n"
        "assert not {'torch', 'timm', 'launcher'} & set(sys.modules)"
    )
    path = kinds(**GOOD)
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True)
