"""Where an exported study goes: an SQLite file, a journal file, or a database on a server.

Files are made whole beside their place and then moved there, so a dashboard never opens half a
study, and exporting again replaces what was exported before.
"""

from __future__ import annotations

import os
import secrets
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launcher.errors import LaunchError
from launcher.sweep_dir import one_line_errors

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

    from launcher.optuna_export.trials import Goals

_DATABASE_SUFFIXES = {".db", ".sqlite", ".sqlite3"}


@dataclass(frozen=True)
class Study:
    """All that is written."""

    name: str
    goals: Goals
    trials: Sequence[FrozenTrial]
    about: dict[str, Any]
    """User attributes of the study."""


def write_study(study: Study, target: str, *, force: bool) -> None:
    """Write a study.

    Args:
        study: what to write.
        target: an SQLAlchemy URL, or the path of a journal file.
        force: replace a file, or a study of this name on a server, that is there.

    Raises:
        LaunchError: the target is no storage, cannot be reached, or is taken.
        RunDirError: the file cannot be written.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if "://" not in target:
        _replace(_journal_path(target), study, _open_journal, force=force)
        return
    url = _parse(target)
    if not url.drivername.startswith("sqlite"):
        _write_to_server(study, target, force=force)
        return
    if url.database in (None, "", ":memory:"):
        raise LaunchError(f"{target} names no file; give one, such as sqlite:///study.db")

    def open_sqlite(path: Path) -> BaseStorage:
        return _open_database(url.set(database=str(path)).render_as_string(hide_password=False))

    _replace(Path(url.database), study, open_sqlite, force=force)


def _journal_path(target: str) -> Path:
    if not target:
        raise LaunchError("--to names no storage; give sqlite:///study.db or a journal file's path")
    path = Path(target)
    if path.suffix in _DATABASE_SUFFIXES:
        raise LaunchError(
            f"{target} is a database's name, and a path alone is a journal's; give "
            f"sqlite:///{target}, or a journal file's path such as {path.with_suffix('.log')}"
        )
    return path


def _parse(target: str) -> Any:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(target)
    except ArgumentError:
        raise LaunchError(
            f"{target} is no storage; give sqlite:///study.db, a journal file's path, or the "
            f"URL of a database"
        ) from None


def _replace(
    path: Path, study: Study, open_storage: Callable[[Path], BaseStorage], *, force: bool
) -> None:
    """Write a file beside its place, then move it there."""
    if path.is_dir():
        raise LaunchError(f"{path} is a folder; name a file")
    if not path.parent.is_dir():
        raise LaunchError(f"{path.parent} is no folder; make it first, or name a file elsewhere")
    if path.exists() and not force:
        raise LaunchError(f"{path} is there already; --force replaces it")
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with one_line_errors("export the study"):
        try:
            _fill(open_storage(draft), study)
            with open(draft, "rb") as file:
                os.fsync(file.fileno())
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)


def _open_journal(path: Path) -> BaseStorage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(path)))


def _open_database(url: str) -> BaseStorage:
    """Raises LaunchError."""
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return RDBStorage(url)
    except (ImportError, SQLAlchemyError) as error:
        shown = _parse(url).render_as_string(hide_password=True)
        raise LaunchError(f"{shown} cannot be opened: {_first_line(error)}") from None


def _write_to_server(study: Study, url: str, *, force: bool) -> None:
    from optuna import delete_study
    from optuna.exceptions import DuplicatedStudyError
    from sqlalchemy.exc import SQLAlchemyError

    storage = _open_database(url)
    try:
        if force and study.name in {one.study_name for one in storage.get_all_studies()}:
            delete_study(study_name=study.name, storage=storage)
        _fill(storage, study)
    except DuplicatedStudyError:
        raise LaunchError(f"a study {study.name} is there already; --force replaces it") from None
    except SQLAlchemyError as error:
        raise LaunchError(f"cannot write the study: {_first_line(error)}") from None


def _fill(storage: BaseStorage, study: Study) -> None:
    from optuna import create_study
    from optuna.exceptions import ExperimentalWarning

    made = create_study(
        study_name=study.name, storage=storage, directions=list(study.goals.directions)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # only of set_metric_names
        made.set_metric_names(list(study.goals.objectives))
    for key, value in study.about.items():
        made.set_user_attr(key, value)
    made.add_trials(study.trials)
    storage.remove_session()


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
