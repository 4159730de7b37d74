"""A plan is made anywhere; what would be refused where it is made is said with it."""

from dataclasses import replace
from pathlib import Path

from sweeps_for_tests import request_for, write_sweep
from typer.testing import CliRunner

from launcher import cli
from launcher.backends.base import Capacity
from launcher.plan import Situation, make_plan
from launcher.plan_text import plan_lines


def test_a_plan_names_what_a_cluster_is_told_with_its_defaults(tmp_path):
    request = request_for(write_sweep(tmp_path, resources="{cohort: 1, nodes: 2, mem_gb: 8}"))
    plan = make_plan("small", request.expansion, request.resources, Situation({}, "slurm", None))
    [line] = [line for line in plan_lines(plan) if line.startswith("resources")]
    assert "a job on 2 nodes, 8 GB a node, the default partition, time limit 24h, " in line
    here = replace(plan, backend="local")
    assert not any("partition" in line for line in plan_lines(here))


def test_only_cohorts_are_told_of_sharing(tmp_path):
    request = request_for(write_sweep(tmp_path))
    situation = Situation({}, "local", Capacity(2))

    def jobs_line(cohort):
        resources = request.resources.model_copy(update={"cohort": cohort})
        plan = make_plan("small", request.expansion, resources, situation)
        [line] = [line for line in plan_lines(plan) if line.startswith("jobs")]
        return line

    assert "share one, at most 8" in jobs_line(True)
    assert "share" not in jobs_line(False)


def test_the_policy_is_part_of_a_preview_alone(runs, local, tmp_path):
    file = write_sweep(tmp_path, seeds="[0]")
    shown = CliRunner().invoke(cli.app, ["sweep", str(file), "--dry-run"]).stdout
    assert "policy: preempted, or its node failed: resumed, always" in shown
    assert "core time" in shown
    started = CliRunner().invoke(cli.app, ["sweep", str(file), "--watch"]).stdout
    assert "submitted 1 job" in started
    assert "policy: " not in started


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
