"""The batch script of an array, written by submitit; the options that it takes are checked by it.

submitit's own jobs are pickles that call back into it. Ours need neither: the script starts the
supervisor, which reads what to do from files. So only its writer of scripts is used.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import submitit

from launcher.backends.slurm.array_dir import ArrayDir, ArrayRecord
from launcher.errors import LaunchError

_SUPERVISOR = "launcher.backends.slurm.supervisor"
_BEFORE_SETUP = (
    """trap 'echo "setup line failed (exit code $?): $BASH_COMMAND" >&2' EXIT""",
    "set -e",
)
"""A `module load` that fails must not be followed by hours on the wrong libraries."""
_AFTER_SETUP = ("set +e", "trap - EXIT")


def batch_script(record: ArrayRecord, array: ArrayDir, *, throttle: int | None, cwd: str) -> str:
    """The script of `sbatch`.

    Args:
        record: what is submitted.
        array: where its files are.
        throttle: elements that may run at the same time; None: as many as there are.
        cwd: where the jobs run.

    Raises:
        LaunchError: submitit refuses an option.
    """
    executor = _ScriptWriter(array.path / "submitit")
    try:
        executor.update_parameters(**_parameters(record, array, throttle, cwd))
    except ValueError as error:
        reason = str(error).partition("\n")[0]
        raise LaunchError(f"resources cannot be given to sbatch: {reason}") from error
    return executor.text(_command(record, array))


class _ScriptWriter(submitit.SlurmExecutor):
    """Writes the script, and submits nothing."""

    def text(self, command: str) -> str:
        return str(self._make_submission_file_text(command, uid=""))

    @classmethod
    def affinity(cls) -> int:
        return 2  # the script can be shown where there is no srun


def _command(record: ArrayRecord, array: ArrayDir) -> str:
    lines = []
    if record.code is not None:
        lines.append(f"export PYTHONPATH={shlex.quote(record.code)}")
    # exec: SLURM's signals to the batch shell then reach the supervisor.
    supervisor = [sys.executable, "-u", "-P", "-m", _SUPERVISOR, str(array.path)]
    lines.append(f"exec {shlex.join(supervisor)}")
    return "\n".join(lines)


def _parameters(
    record: ArrayRecord, array: ArrayDir, throttle: int | None, cwd: str
) -> dict[str, Any]:
    """In submitit's names; what it does not know goes through `additional_parameters`."""
    asked = record.resources
    count = len(record.elements)
    minutes = None if asked.time_s is None else -(-asked.time_s // 60)
    given = {
        "job_name": record.job_name,
        "partition": asked.partition,
        "account": asked.account,
        "qos": asked.qos,
        "constraint": asked.constraint,
        "exclude": ",".join([*([asked.exclude] if asked.exclude else []), *record.avoid]) or None,
        "comment": asked.comment,
        "nodes": asked.nodes,
        "ntasks_per_node": record.processes // asked.nodes,
        "cpus_per_task": record.cpus_per_task,
        "gpus_per_node": record.gpus_per_node or None,
        "mem": None if asked.mem_gb is None else f"{round(asked.mem_gb * 1024)}M",
        "setup": [*_redirection(array), *_setup(asked.setup)] or None,
        "signal_delay_s": record.signal_lead_s,
        "use_srun": False,
        "stderr_to_stdout": True,
    }
    extra = {
        "array": f"0-{count - 1}" + (f"%{throttle}" if throttle else ""),
        "output": _output(array),
        "chdir": cwd.replace("\\", "\\\\"),  # sbatch takes it for an escape, quoted or not
        "requeue": True,
        **asked.sbatch,
    }
    parameters: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    parameters |= {"time": minutes, "wckey": None}  # submitit's own defaults are no site's
    parameters["additional_parameters"] = {
        name: value for name, value in extra.items() if value is not False
    }
    return parameters


def _setup(lines: Sequence[str]) -> list[str]:
    return [*_BEFORE_SETUP, *lines, *_AFTER_SETUP] if lines else []


def _output(array: ArrayDir) -> str:
    """The file as sbatch takes it: in its patterns, %a is the index and %% stands for a percent."""
    if _has_backslash(array):
        return os.devnull
    return str(array.log("%a").parent).replace("%", "%%") + "/" + array.log("%a").name


def _redirection(array: ArrayDir) -> list[str]:
    """Patterns have no word for a backslash (sbatch(1)): there the script opens the file itself."""
    if not _has_backslash(array):
        return []
    folder = shlex.quote(str(array.log("%a").parent))
    return [f"exec >>{folder}/{array.log('$SLURM_ARRAY_TASK_ID').name} 2>&1"]


def _has_backslash(array: ArrayDir) -> bool:
    return "\\" in str(array.path)


def sbatch_command(script: Path, options: Sequence[str] = ()) -> list[str]:
    """The call of sbatch. The environment is handed on whatever a site's default says."""
    return ["sbatch", "--parsable", "--export=ALL", *options, str(script)]
