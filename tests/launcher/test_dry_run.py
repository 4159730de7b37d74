"""A plan is made anywhere; what would be refused where it is made is said with it."""

from pathlib import Path

from sweeps_for_tests import write_sweep
from typer.testing import CliRunner

from launcher import cli


def test_a_plan_without_its_data_is_printed_with_a_warning(runs, tmp_path):
    file = write_sweep(tmp_path)
    away = "data={source: image_folder, root: /nowhere/imagenet}"
    call = ["sweep", str(file), "--set", away]
    shown = CliRunner().invoke(cli.app, [*call, "--dry-run"])
    assert shown.exit_code == 0, shown.exception
    assert "3 trials (3 to run)" in shown.stdout
    [warning] = shown.stderr.splitlines()
    assert warning.startswith("warning: this would be refused here: ")
    assert "/nowhere/imagenet" in warning
    refused = CliRunner().invoke(cli.app, call)
    assert str(refused.exception) == warning.removeprefix("warning: this would be refused here: ")
    assert list(Path(runs).iterdir()) in ([], [runs / ".lock"])
