"""TensorBoard, a view of metrics.jsonl: scalars, and one HParams session for the trial.

The HParams tab takes its columns from the first experiment summary it meets and drops later ones
(tensorboard issues 1013 and 2465), so every trial writes the same, full list of swept fields.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from torch.utils.tensorboard import SummaryWriter

from deit_core.config import RunConfig
from deit_core.records import TrialRecord
from deit_core.train.sinks import scalars

_METRICS = ("val/top1", "val/top1_cls", "val/top1_dist", "val/loss", "train/loss_at_eval")
_STATUS = {
    "completed": api_pb2.STATUS_SUCCESS,
    "failed": api_pb2.STATUS_FAILURE,
    "preempted": api_pb2.STATUS_UNKNOWN,
}


class TensorBoardSink:
    """Event files in `folder`; points from `purge_step` on, of earlier attempts, are hidden."""

    def __init__(
        self, folder: Path, trial: TrialRecord, config: RunConfig, *, purge_step: int | None
    ) -> None:
        self._writer = SummaryWriter(log_dir=str(folder), purge_step=purge_step)
        values = hparams(trial, config)
        self._write(_experiment(trial, config))
        self._write(_session_start(values, trial))

    def emit(self, row: dict[str, Any]) -> None:
        """Write the numbers of one row as scalars."""
        for tag, value in scalars(row).items():
            self._writer.add_scalar(tag, value, row["step"], walltime=row["unix_s"])
        if row["kind"] == "eval":
            self._writer.flush()

    def close(self, state: str) -> None:
        """End the HParams session and the file."""
        self._write(_session_end(state))
        self._writer.close()

    def _write(self, message: Summary) -> None:
        assert self._writer.file_writer is not None
        self._writer.file_writer.add_summary(message)


def hparams(trial: TrialRecord, config: RunConfig) -> dict[str, Any]:
    """Swept fields and seed; a field without effect here is left out of the session."""
    values = {key: value for key, value in trial.swept.items() if value is not None}
    return {**values, "seed": config.seed}


def _experiment(trial: TrialRecord, config: RunConfig) -> Summary:
    columns = {**{key: _config_value(config, key) for key in trial.swept}, "seed": config.seed}
    experiment = api_pb2.Experiment(
        hparam_infos=[
            api_pb2.HParamInfo(name=name, type=_data_type(value)) for name, value in columns.items()
        ],
        metric_infos=[api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in _METRICS],
    )
    data = plugin_data_pb2.HParamsPluginData(experiment=experiment)
    return _summary(metadata.EXPERIMENT_TAG, data)


def _session_start(values: dict[str, Any], trial: TrialRecord) -> Summary:
    start = plugin_data_pb2.SessionStartInfo(group_name=trial.name, start_time_secs=time.time())
    for name, value in values.items():
        field = start.hparams[name]
        if isinstance(value, bool):
            field.bool_value = value
        elif isinstance(value, int | float):
            field.number_value = float(value)
        else:
            field.string_value = str(value)
    return _summary(
        metadata.SESSION_START_INFO_TAG,
        plugin_data_pb2.HParamsPluginData(session_start_info=start),
    )


def _session_end(state: str) -> Summary:
    end = plugin_data_pb2.SessionEndInfo(
        status=_STATUS.get(state, api_pb2.STATUS_UNKNOWN), end_time_secs=time.time()
    )
    return _summary(
        metadata.SESSION_END_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_end_info=end)
    )


def _summary(tag: str, data: plugin_data_pb2.HParamsPluginData) -> Summary:
    value = Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(data))
    return Summary(value=[value])


def _config_value(config: RunConfig, dotted: str) -> Any:
    value: Any = config
    for part in dotted.split("."):
        value = value.get(part) if isinstance(value, dict) else getattr(value, part, None)
    return value


def _data_type(value: Any) -> int:
    if isinstance(value, bool):
        return int(api_pb2.DATA_TYPE_BOOL)
    if isinstance(value, int | float):
        return int(api_pb2.DATA_TYPE_FLOAT64)
    return int(api_pb2.DATA_TYPE_STRING)
