"""results.json read back: a report made again without its run directories."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from deit_core.errors import SchemaError
from reports.context import Options
from reports.errors import ReportError
from reports.export import RESULTS_SCHEMA_VERSION
from reports.load import load_sweep, resolve_sweep
from reports.results import SweepResults
from reports.store import read_input
from reports.strict_json import decode


def read_results(path: Path) -> tuple[SweepResults, Options]:
    """What a report was made from, and what its user had asked for.

    Raises:
        ReportError: the file is missing, damaged, from another version, or no results.json.
    """
    values = _decoded(path)
    version = values.get("schema_version") if isinstance(values, dict) else None
    if not isinstance(version, int) or not {"input", "options", "variants"} & values.keys():
        raise ReportError(f"{path} is no results.json of deit-report")
    if version > RESULTS_SCHEMA_VERSION:
        raise ReportError(
            f"{path} has schema version {version}, this program reads up to "
            f"{RESULTS_SCHEMA_VERSION}; update it, or use the version that wrote the file"
        )
    if version < RESULTS_SCHEMA_VERSION:
        raise ReportError(
            f"{path} is from an older version, which did not keep what a report is made from; "
            f"compile it again from its sweep folder"
        )
    try:
        return read_input(values.get("input"), str(path)), _options(values.get("options"))
    except (SchemaError, TypeError) as error:
        raise ReportError(str(error)) from None


def read_any(path: Path) -> SweepResults:
    """The results in a sweep folder, in a report's folder, or in a results.json.

    Raises:
        ReportError: it is none of these.
    """
    if path.is_file():
        return read_results(path)[0]
    if (path / "results.json").is_file() and not (path / "plan.json").exists():
        return read_results(path / "results.json")[0]
    return load_sweep(resolve_sweep(path))


def _decoded(path: Path) -> Any:
    """Raises ReportError."""
    try:
        return decode(path.read_bytes())
    except FileNotFoundError:
        raise ReportError(f"there is no {path}; give the results.json of a report") from None
    except OSError as error:
        raise ReportError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise ReportError(f"{path} is damaged: {error}") from None


def _options(values: Any) -> Options:
    """Options of this version; those of others have no say. Raises TypeError."""
    if not isinstance(values, dict):
        raise TypeError("results.json is damaged: it holds no options")
    known = {field.name for field in fields(Options)}
    return Options(**{key: value for key, value in values.items() if key in known})
