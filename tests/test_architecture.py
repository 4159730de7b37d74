"""The walls of the house: what may import what, and how fast the commands start."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "torchvision",
    "timm",
    "tensorboard",
    "scipy",
    "matplotlib",
    "optuna",
    "ray",
    "wandb",
    "mlflow",
)


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "statement",
    [
        "import launcher, reports",
        "import launcher.cli",
        "import reports.cli",
        "import deit_core.config, deit_core.identity, deit_core.records, deit_core.run_dir",
        "import deit_core.variants, deit_core.errors, deit_core.duration",
        "import deit_core.__main__, deit_core.analyse.__main__, deit_core.export.__main__",
    ],
)
def test_starting_imports_nothing_heavy(statement: str) -> None:
    assert not modules_after(statement) & set(HEAVY)


def test_launcher_and_reports_never_reach_torch() -> None:
    every_module = (
        "import importlib, pkgutil, launcher, reports\n"
        "for package in (launcher, reports):\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        if '.latest' not in module.name and not module.name.endswith('__main__'):\n"
        "            importlib.import_module(module.name)"
    )
    found = modules_after(every_module)
    assert {"launcher.cli", "reports.cli"} <= found
    assert not found & {"torch", "torchvision", "timm", "tensorboard"}
