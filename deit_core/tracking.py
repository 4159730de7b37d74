"""Experiment trackers that a trial can be shown in: their settings, and whether they can be used.

Torch-free, and none of the trackers' packages is imported here.
"""

from __future__ import annotations

import importlib.util
import os
from typing import Annotated, Literal

from pydantic import Field

from deit_core.config_types import Section
from deit_core.errors import ConfigError, Problem

Text = Annotated[str, Field(min_length=1)]


class WandbConfig(Section):
    """Weights & Biases: one run a trial, under the trial's id."""

    project: Text
    entity: Text | None = None
    """Team or user; null: the one of the API key."""
    mode: Literal["online", "offline"] | None = None
    """`offline` writes files for `wandb sync` alone; null: what WANDB_MODE says, else `online`."""
    tags: tuple[Text, ...] = Field(default=(), strict=False)


class MlflowConfig(Section):
    """MLflow: one run a trial, found again by its tag `trial_id`."""

    tracking_uri: Text | None = None
    """A server (http://...) or a database (sqlite:///...); null: what MLFLOW_TRACKING_URI says."""
    experiment: Text = "deit-sweeps"


def check_trackers(wandb: WandbConfig | None, mlflow: MlflowConfig | None) -> None:
    """Refuse trackers that cannot be used here, before anything is trained.

    Raises:
        ConfigError: a package is not installed, or MLflow is not told where to write.
    """
    wanted = {"wandb": wandb, "mlflow": mlflow}
    for name in (name for name, config in wanted.items() if config is not None):
        if not _is_installed(name):
            raise ConfigError(
                Problem(
                    ("logging", name),
                    f"the package {name} is not installed; "
                    f"run `pip install 'deit-sweeps[{name}]'`, or leave logging.{name} out",
                )
            )
    if mlflow is not None and mlflow_uri(mlflow) is None:
        raise ConfigError(
            Problem(
                ("logging", "mlflow", "tracking_uri"),
                "is not given; set it to a server (http://host:5000) or a database "
                "(sqlite:////path/mlflow.db), or set the environment variable MLFLOW_TRACKING_URI",
            )
        )


def mlflow_uri(config: MlflowConfig) -> str | None:
    """Where MLflow's records go; None where nothing says so."""
    return config.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or None


def _is_installed(name: str) -> bool:
    """A folder of this name, such as the one wandb makes for its files, is no package."""
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None
