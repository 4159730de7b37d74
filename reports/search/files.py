"""What a search left in its sweep folder, as plain data. Files are shared, not imports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reports.strict_json import decode


def read_search(sweep: Path) -> Mapping[str, Any] | None:
    """`<sweep>/search/`: {"search": search.json, "points": [...], "ended": ...}; None for a grid.

    Points that cannot be read are counted under "damaged" and left out.
    """
    folder = sweep / "search"
    search = _read(folder / "search.json")
    if search is None:
        return None
    files = sorted((folder / "points").glob("*.json"))
    points = [_read(file) for file in files]
    return {
        "search": search,
        "points": [point for point in points if point is not None],
        "ended": _read(folder / "ended.json"),
        "damaged": sum(point is None for point in points),
    }


def _read(path: Path) -> dict[str, Any] | None:
    try:
        values = decode(path.read_bytes())
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None
