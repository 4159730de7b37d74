"""The run directory: the only place that spells its file names. Torch-free.

Files are replaced whole (temporary file, fsync, rename), so a reader never sees half of one;
metrics.jsonl grows by whole lines, and a torn last line is ignored.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from deit_core.config import RunConfig, parse_run_config
from deit_core.correct_records import ValCorrectRecord
from deit_core.errors import ConfigError, RunDirError
from deit_core.records import (
    AnalysisRecord,
    EnvRecord,
    Record,
    StatusRecord,
    SummaryRecord,
    TrialRecord,
    Weights,
)
from deit_core.throughput_records import ThroughputRecord

_LOCK_PATIENCE_S = 1.0
"""`is_locked` holds a lock for microseconds; a job that starts just then must not give up."""


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_atomic(path: Path, data: bytes | memoryview, *, durable: bool = True) -> None:
    """Replace `path` by `data` in one step.

    Raises:
        RunDirError: no permission, or no space left.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            with open(temporary, "xb") as file:  # not mkstemp: the umask decides who may read
                file.write(data)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
            if durable:
                _sync_folder(path.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise RunDirError(f"cannot write {path}: {error.strerror}") from error


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, values: Any, *, durable: bool = True) -> None:
    """Write JSON atomically; numbers that are not finite become null."""
    text = json.dumps(_finite_tree(values), indent=2, ensure_ascii=False, allow_nan=False)
    write_atomic(path, (text + "\n").encode(), durable=durable)


def _finite_tree(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: _finite_tree(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [_finite_tree(value) for value in values]
    if isinstance(values, float) and not math.isfinite(values):
        return None
    return values


def read_json(path: Path) -> Any:
    """Decode a JSON file.

    Raises:
        RunDirError: missing, unreadable, or not JSON.
    """
    values = _read_if_there(path)
    if values is None:
        raise RunDirError(f"{path} is missing")
    return values


def _read_if_there(path: Path) -> Any:
    """Decode a JSON file; None where there is none. Raises RunDirError."""
    try:
        with open(path, "rb") as file:
            values = json.load(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunDirError(f"cannot read {path}: {error.strerror}") from error
    except ValueError:
        raise RunDirError(f"{path} is damaged: it is not JSON") from None
    if values is None:
        raise RunDirError(f"{path} is damaged: it says null")
    return values


def _read_or_none(path: Path) -> Any:
    """Decode a JSON file; None where it is missing, or what a power cut left of it is no JSON."""
    try:
        return read_json(path) if path.exists() else None
    except RunDirError:
        return None


class _File:
    """Path of one file of a run directory, put together when it is first asked for.

    A look at thousands of trials needs few of their many names.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __set_name__(self, owner: type[RunDir], attribute: str) -> None:
        self.attribute = attribute

    def __get__(self, run: RunDir, owner: type[RunDir]) -> Path:
        path = run.path / self.name
        run.__dict__[self.attribute] = path
        return path


class RunDir:
    """One trial's folder. Constructing it touches nothing on disk."""

    trial_file = _File("trial.json")
    config_file = _File("config.json")
    env_file = _File("env.json")
    status_file = _File("status.json")
    metrics_file = _File("metrics.jsonl")
    summary_file = _File("summary.json")
    throughput_file = _File("throughput.json")
    bench_file = _File("bench.json")
    """Only in a bench directory, which measures and trains nothing."""
    val_correct_file = _File("val_correct.json")
    checkpoint_dir = _File("checkpoint")
    weights_file = _File("checkpoint/model.safetensors")
    ema_weights_file = _File("checkpoint/model_ema.safetensors")
    export_dir = _File("export")
    wandb_dir = _File("wandb")
    job_dir = _File("job")
    stdout_file = _File("job/stdout.log")
    stderr_file = _File("job/stderr.log")
    lock_file = _File("job/lock")
    job_file = _File("job/job.json")
    attempts_file = _File("job/attempts.jsonl")
    pruner_file = _File("job/pruner.json")
    rungs_file = _File("job/rungs.jsonl")
    scheduler_log = _File("job/scheduler.log")

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"RunDir({str(self.path)!r})"

    def rank_log(self, rank: int) -> Path:
        """What a process beside the first one prints; the first has stdout and stderr apart."""
        return self.job_dir / f"rank{rank}.log"

    def rank_logs(self) -> list[Path]:
        """What the processes beside the first one have printed, by rank."""
        return sorted(self.job_dir.glob("rank*.log"), key=lambda log: (len(log.name), log.name))

    # identity and config -------------------------------------------------------------------

    def create(self, trial: TrialRecord, config: RunConfig) -> None:
        """Write what a job needs to start; nothing may be training here.

        A directory keeps the record and the status it has. config.json is replaced where it says
        something else: settings that are no part of the id, such as the number of workers. A file
        that a power cut has emptied is written again. Nothing is fsynced, as trials are made by
        the thousand: the caller syncs them all at once.

        Raises:
            RunDirError: no permission, or no space left.
        """
        values = _finite_tree(config.model_dump(mode="json"))
        if _read_or_none(self.config_file) != values:
            write_json(self.config_file, values, durable=False)
        if not self.status_file.exists():
            self.write_status(StatusRecord())
        if _read_or_none(self.trial_file) is None:
            write_json(self.trial_file, trial.model_dump(mode="json"), durable=False)

    def exists(self) -> bool:
        """Whether `create` has finished here."""
        return self.trial_file.exists() and self.config_file.exists()

    def read_trial(self) -> TrialRecord:
        """trial.json. Raises RunDirError or SchemaError."""
        return TrialRecord.from_json(self._read(self.trial_file), str(self.trial_file))

    def read_config(self) -> RunConfig:
        """config.json. Raises RunDirError."""
        try:
            return parse_run_config(self._read(self.config_file))
        except ConfigError as error:
            raise RunDirError(f"{self.config_file} does not fit this version: {error}") from None

    # state -----------------------------------------------------------------------------------

    def read_status(self) -> StatusRecord:
        """status.json; a pending status where there is none yet."""
        values = _read_if_there(self.status_file)
        if values is None:
            return StatusRecord()
        return StatusRecord.from_json(values, str(self.status_file))

    def write_status(self, status: StatusRecord) -> None:
        """Replace status.json (atomic, not fsynced: a lost heartbeat costs nothing)."""
        write_json(self.status_file, status.model_dump(mode="json"), durable=False)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the directory for one process; the kernel lets go when that process ends.

        Raises:
            RunDirError: another process is training here.
        """
        with self._open_lock() as file:
            deadline = time.monotonic() + _LOCK_PATIENCE_S
            while not _try_lock(file):
                if time.monotonic() > deadline:
                    raise RunDirError(
                        f"{self.path} is in use: another process is training this trial"
                    )
                time.sleep(0.02)
            yield

    def is_locked(self) -> bool:
        """Whether a live process holds the lock. Same host, or a file system with flock.

        Asks for a shared lock, so reading is all that it needs to be allowed.

        Raises:
            RunDirError: the lock file cannot be read.
        """
        try:
            with open(self.lock_file, encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        except OSError as error:
            raise RunDirError(f"cannot read {self.lock_file}: {error.strerror}") from error
        return False

    def _open_lock(self) -> IO[str]:
        try:
            self.job_dir.mkdir(parents=True, exist_ok=True)
            return open(self.lock_file, "a", encoding="utf-8")
        except OSError as error:
            raise RunDirError(f"cannot write {self.lock_file}: {error.strerror}") from error

    # results -----------------------------------------------------------------------------------

    def append_metrics(self, row: dict[str, Any]) -> None:
        """Append one row to metrics.jsonl."""
        line = json.dumps(_finite_tree(row), allow_nan=False) + "\n"
        try:
            with open(self.metrics_file, "a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise RunDirError(f"cannot write {self.metrics_file}: {error.strerror}") from error

    def read_metrics(self) -> list[dict[str, Any]]:
        """All whole rows; a last line torn by a crash is left out."""
        if not self.metrics_file.exists():
            return []
        rows = []
        lines = self.metrics_file.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, start=1):
            try:
                rows.append(json.loads(line))
            except ValueError:
                if number < len(lines):
                    raise RunDirError(
                        f"{self.metrics_file}:{number} is damaged: it is not JSON"
                    ) from None
        return rows

    def sync_metrics(self) -> None:
        """Make the rows written so far last through a power cut."""
        if self.metrics_file.exists():
            with open(self.metrics_file, "rb") as file:
                os.fsync(file.fileno())

    def truncate_metrics(self, last_step: int, *, evaluated: bool = True) -> None:
        """Drop rows that a resumed run writes again.

        Args:
            last_step: rows beyond it are dropped.
            evaluated: whether the evaluation of `last_step`, if one was due, is kept.
        """
        if not self.metrics_file.exists():
            return
        kept = [
            row
            for row in self.read_metrics()
            if row["step"] < last_step
            or (row["step"] == last_step and (evaluated or row["kind"] != "eval"))
        ]
        text = "".join(json.dumps(row) + "\n" for row in kept)
        write_atomic(self.metrics_file, text.encode())

    def write_env(self, env: EnvRecord) -> None:
        """Replace env.json."""
        self._write(self.env_file, env)

    def read_env(self) -> EnvRecord | None:
        """env.json, or None before the first start."""
        if not self.env_file.exists():
            return None
        return EnvRecord.from_json(read_json(self.env_file), str(self.env_file))

    def write_summary(self, summary: SummaryRecord) -> None:
        """Replace summary.json."""
        self._write(self.summary_file, summary)

    def read_summary(self) -> SummaryRecord | None:
        """summary.json, or None before the end of training."""
        values = _read_if_there(self.summary_file)
        return None if values is None else SummaryRecord.from_json(values, str(self.summary_file))

    def write_throughput(self, record: ThroughputRecord) -> None:
        """Store throughput.json. Raises RunDirError."""
        self._write(self.throughput_file, record)

    def read_throughput(self) -> ThroughputRecord | None:
        """Return throughput.json, or None where it was not measured. Raises RunDirError."""
        if not self.throughput_file.exists():
            return None
        values = self._read(self.throughput_file)
        return ThroughputRecord.from_json(values, str(self.throughput_file))

    def write_val_correct(self, record: ValCorrectRecord) -> None:
        """Store val_correct.json. Raises RunDirError."""
        self._write(self.val_correct_file, record)

    def read_val_correct(self) -> ValCorrectRecord | None:
        """Which val images are right; None where no evaluation has said so. Raises RunDirError."""
        values = _read_if_there(self.val_correct_file)
        if values is None:
            return None
        return ValCorrectRecord.from_json(values, str(self.val_correct_file))

    def analysis_file(self, weights: Weights = "last") -> Path:
        """Where the analysis of these weights is."""
        return self.path / ("analysis.json" if weights == "last" else "analysis_ema.json")

    def write_analysis(self, record: AnalysisRecord) -> None:
        """Replace the analysis of the record's weights."""
        self._write(self.analysis_file(record.weights), record)

    def read_analysis(self, weights: Weights = "last") -> AnalysisRecord | None:
        """The analysis of these weights, or None before `python -m deit_core.analyse`."""
        path = self.analysis_file(weights)
        if not path.exists():
            return None
        return AnalysisRecord.from_json(read_json(path), str(path))

    def tensorboard_dir(self) -> Path:
        """Where event files go; a sweep gathers them in one folder under readable names."""
        relative = self.read_trial().tensorboard
        return Path(os.path.normpath(self.path / (relative or "tensorboard")))

    def _write(self, path: Path, record: Record) -> None:
        write_json(path, record.model_dump(mode="json"))

    def _read(self, path: Path) -> Any:
        """Read a file the directory cannot do without."""
        if not self.path.is_dir():
            raise RunDirError(f"there is no run directory {self.path}")
        if not path.exists():
            if not any(file.exists() for file in (self.trial_file, self.config_file)):
                raise RunDirError(f"{self.path} is no run directory: it has no {path.name}")
            raise RunDirError(
                f"{self.path} is half deleted: {path.name} is missing; "
                f"delete the folder and run the sweep again"
            )
        return read_json(path)
