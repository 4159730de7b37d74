"""Published results from a CSV file: one line per published model.

Columns are those of `COLUMNS`; any other must be a field of the run config, such as
`train.duration`, and is part of the recipe. An empty cell says nothing.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deit_core.config_checks import nearest
from reports.errors import ReportError
from reports.reference.fields import CONFIG_FIELDS

COLUMNS: Mapping[str, str] = {
    "name": "what the paper calls it",
    "model": "timm name",
    "img_size": "pixels",
    "kind": "none, soft or hard",
    "token": "true or false",
    "data": "data.source it was measured on; imagenet if empty",
    "top1": "percent",
    "real_top1": "percent",
    "v2_top1": "percent",
    "parameters": "count",
    "gmacs": "10^9 multiply-accumulates",
    "images_per_s": "inference",
    "device": "of images_per_s",
    "finetuned": "true or false",
    "note": "free text",
    "source": "paper and table",
}
"""Columns of a CSV file; `name`, `model`, `img_size`, `kind` and `top1` must be there."""
_NUMBERS = ("img_size", "top1", "real_top1", "v2_top1", "parameters", "gmacs", "images_per_s")
_REQUIRED = ("name", "model", "img_size", "kind", "top1")


def read_csv(path: Path) -> dict[str, Any]:
    """The file as a `Reference` in plain data.

    Raises:
        ReportError: it is no table of published results.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or ())
            lines = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ReportError(f"--reference: cannot read {path}: {error}") from None
    _check_columns(columns, path)
    devices = {line.get("device") or "" for line in lines} - {""}
    if len(devices) > 1:
        raise ReportError(f"{path} names several devices; give one file for each")
    rows, recipes = [], {}
    for number, line in enumerate(lines, start=2):
        row, recipe = _csv_row(line, f"{path}:{number}")
        row["recipe"] = str(number)
        recipes[row["recipe"]] = recipe
        rows.append(row)
    return {
        "name": path.stem, "title": path.stem, "source": path.name, "data": {"source": "imagenet"},
        "throughput": {"device": devices.pop()} if devices else None,
        "recipes": recipes, "rows": rows,
    }  # fmt: skip


def _check_columns(columns: list[str], path: Path) -> None:
    missing = [name for name in _REQUIRED if name not in columns]
    if missing:
        raise ReportError(f"{path} has no column {missing[0]!r}; needed: {', '.join(_REQUIRED)}")
    for name in columns:
        if name not in COLUMNS and name not in CONFIG_FIELDS:
            hint = nearest(name, [*COLUMNS, *CONFIG_FIELDS] if "." in name else COLUMNS)
            raise ReportError(f"{path} has an unknown column {name!r}{hint}")


def _csv_row(line: Mapping[str, str | None], where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A row and its recipe; empty cells are not said."""
    told = {
        key: text.strip() for key, text in line.items() if isinstance(text, str) and text.strip()
    }
    row: dict[str, Any] = {}
    for name in ("name", "model", "kind", "note", "source"):
        if name in told:
            row[name] = told[name]
    for name in _NUMBERS:
        if name in told:
            row[name] = _csv_value(told[name], where, name)
    if "token" in told:
        row["token"] = told["token"].lower() == "true"
    if "data" in told:
        row["data"] = {"source": told["data"]}
    settings = {name: _scalar(text) for name, text in told.items() if name in CONFIG_FIELDS}
    recipe: dict[str, Any] = {"settings": settings}
    if "finetuned" in told:
        recipe["finetuned"] = told["finetuned"].lower() == "true"
    return row, recipe


def _csv_value(text: str, where: str, column: str) -> float:
    try:
        return float(text.replace("_", ""))
    except ValueError:
        raise ReportError(f"{where}: {column} is {text!r}, which is no number") from None


def _scalar(text: str) -> Any:
    """A number, true, false or null as JSON spells it; else the text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, dict | list) else value
