"""In what two sweeps differ apart from their results: settings, code, versions, machines. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from deit_core.records import EnvRecord
from reports.diff.match import Pair
from reports.reference.fields import settings_of
from reports.results import SweepResults
from reports.text import NOTHING, listing
from reports.variants import Variant, value_text

_NO_SETTING = ("seed", "logging.")
"""The seed is no setting of a variant, and logging never changes a result."""

Row = tuple[str, str, str, str]
"""What, its value in A, its value in B, and where that is so."""


def changed_settings(pairs: Sequence[Pair]) -> list[Row]:
    """Config fields that differ between a variant's two configs, and in which variants."""
    found: dict[tuple[str, str, str], list[str]] = {}
    known = 0
    for pair in pairs:
        a, b = _settings(pair.a), _settings(pair.b)
        if a is None or b is None:
            continue
        known += 1
        for field in dict.fromkeys((*a, *b)):
            values = a.get(field), b.get(field)
            if values[0] != values[1] and not field.startswith(_NO_SETTING):
                key = (field, value_text(values[0]), value_text(values[1]))
                found.setdefault(key, []).append(pair.label)
    return [
        (*key, "all variants" if len(labels) == known else listing(labels, 4))
        for key, labels in found.items()
    ]


def _settings(variant: Variant) -> Mapping[str, Any] | None:
    config = next((trial.config for trial in variant.trials if trial.config), None)
    return None if config is None else settings_of(config)


def _commit(env: EnvRecord) -> str | None:
    if not env.git_sha:
        return None
    return env.git_sha + (" with uncommitted changes" if env.git_dirty else "")


_CONDITIONS: dict[str, Callable[[EnvRecord], str | None]] = {
    "git commit": _commit,
    "device": lambda env: env.device_name or env.device,
    "host": lambda env: env.hostname,
    "platform": lambda env: env.platform,
    "python": lambda env: env.python,
    "threads per process": lambda env: str(env.threads),
}


def changed_conditions(a: SweepResults, b: SweepResults) -> list[Row]:
    """Code, versions and machines that differ between two sweeps."""
    envs = [[trial.env for trial in sweep.students if trial.env] for sweep in (a, b)]
    libraries = sorted({name for side in envs for env in side for name in env.versions})
    readers = dict(_CONDITIONS)
    for name in libraries:
        readers[name] = lambda env, name=name: env.versions.get(name)  # type: ignore[misc]
    rows = []
    for what, read in readers.items():
        values = [_distinct([read(env) for env in side]) for side in envs]
        if values[0] != values[1]:
            rows.append((what, values[0], values[1], "sweep"))
    return rows


def _distinct(values: Sequence[str | None]) -> str:
    return listing(sorted({value for value in values if value})) or NOTHING
