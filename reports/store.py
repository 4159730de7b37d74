"""results.json as input: everything that was read, so that a report can be made again from it.

Records that trials share (config, environment, throughput) are written once, under a key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, TypeVar, get_args

from deit_core.attempts import AttemptRecord
from deit_core.config import RunConfig, parse_run_config
from deit_core.errors import ConfigError, SchemaError
from deit_core.imported import ImportedRecord
from deit_core.records import (
    AnalysisRecord,
    EnvRecord,
    PlannedTrial,
    PlanRecord,
    Record,
    State,
    StatusRecord,
    SummaryRecord,
)
from deit_core.throughput_records import ThroughputRecord
from reports.consistency import check_imported, check_summary, check_throughput
from reports.curves import Curve
from reports.results import SweepResults, TrialResult

RecordT = TypeVar("RecordT", bound=Record)


class _Shared:
    """Objects that many trials have alike, by a short key in order of first use."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._keys: dict[int, str] = {}

    def key(self, value: Record | RunConfig | None) -> str | None:
        """The key of a value; equal values are one object already (`reports.load`)."""
        if value is None:
            return None
        if id(value) not in self._keys:
            self._keys[id(value)] = str(len(self._keys))
            self.values[self._keys[id(value)]] = value.model_dump(mode="json")
        return self._keys[id(value)]


def input_values(sweep: SweepResults) -> dict[str, Any]:
    """Plain data that `read_input` turns into an equal sweep.

    `trials` is an iterator for `compact_pieces`: thousands of them take long to hold at once.
    """
    shared = (_Shared(), _Shared(), _Shared())
    for trial in sweep.trials:
        _shared_keys(trial, shared)
    environments, configs, throughputs = shared
    return {
        "folder": sweep.folder,
        "links": sweep.links,
        "plan": sweep.plan.model_dump(mode="json", exclude={"trials"}),
        "sweep_yaml": sweep.sweep_yaml,
        "search": sweep.search,
        "problems": list(sweep.problems),
        "extra": dict(sweep.extra),
        "environments": environments.values,
        "configs": configs.values,
        "throughputs": throughputs.values,
        "trials": (_trial_values(trial, shared) for trial in sweep.trials),
    }


_SharedThree = tuple[_Shared, _Shared, _Shared]


def _shared_keys(trial: TrialResult, shared: _SharedThree) -> dict[str, str | None]:
    environments, configs, throughputs = shared
    return {
        "env": environments.key(trial.env),
        "config": configs.key(trial.config),
        "throughput": throughputs.key(trial.throughput),
    }


def _trial_values(trial: TrialResult, shared: _SharedThree) -> dict[str, Any]:
    return {
        "planned": trial.planned.model_dump(mode="json"),
        "state": trial.state,
        "reason": trial.reason,
        "status": _plain(trial.status),
        "summary": _plain(trial.summary),
        **_shared_keys(trial, shared),
        "analysis": _plain(trial.analysis),
        "attempts": [one.model_dump(mode="json") for one in trial.attempts],
        "curve": trial.curve.to_json() if trial.curve else None,
        "correct": trial.correct,
        "imported": _plain(trial.imported),
        "problems": list(trial.problems),
    }


def _plain(record: Record | None) -> dict[str, Any] | None:
    return None if record is None else record.model_dump(mode="json")


def read_input(values: Any, where: str) -> SweepResults:
    """The sweep that `input_values` was made from.

    Raises:
        SchemaError: the values do not fit.
    """
    try:
        return _Reader(values, where).sweep()
    except KeyError as error:
        raise SchemaError(f"{where} is damaged: {error} is missing") from None
    except (TypeError, AttributeError, ValueError, ConfigError) as error:
        said = " ".join(str(error).split())
        raise SchemaError(f"{where} is damaged: {said}"[:300]) from None


class _Reader:
    """Validates every record; shared ones once."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self._values, self._where = values, where
        self._configs = {key: parse_run_config(value) for key, value in values["configs"].items()}
        self._environments = self._all(EnvRecord, values["environments"])
        self._throughputs = self._all(ThroughputRecord, values["throughputs"])
        for why in filter(None, map(check_throughput, self._throughputs.values())):
            raise ValueError(f"throughputs: {why}")

    def _all(self, kind: type[RecordT], values: Mapping[str, Any]) -> dict[str, RecordT]:
        return {key: kind.from_json(value, self._where) for key, value in values.items()}

    def _one(self, kind: type[RecordT], values: Any) -> RecordT | None:
        return None if values is None else kind.from_json(values, self._where)

    def sweep(self) -> SweepResults:
        """All of it."""
        values = self._values
        trials = tuple(self._trial(one) for one in values["trials"])
        plan = PlanRecord.from_json(values["plan"], self._where)
        links = _typed(values, "links", str)
        if _SCHEME.match(links):
            raise ValueError("links lead out of the folder")
        return SweepResults(
            folder=_typed(values, "folder", str),
            links=links,
            plan=plan.model_copy(update={"trials": tuple(trial.planned for trial in trials)}),
            sweep_yaml=_typed(values, "sweep_yaml", str | None),
            trials=trials,
            search=_typed(values, "search", dict | None),
            problems=tuple(_typed(values, "problems", list)),
            extra=_typed(values, "extra", dict),
        )

    def _trial(self, values: Mapping[str, Any]) -> TrialResult:
        attempts = (AttemptRecord.from_json(one, self._where) for one in values["attempts"])
        planned = PlannedTrial.from_json(values["planned"], self._where)
        status = self._one(StatusRecord, values["status"])
        summary = self._one(SummaryRecord, values["summary"])
        imported = self._one(ImportedRecord, values.get("imported"))
        known = status or StatusRecord()
        if why := (
            check_imported(planned, known, imported)
            if imported
            else check_summary(planned, known, summary)
        ):
            raise ValueError(f"trial {planned.trial_id}: {why}")
        ended = summary or imported
        if values["state"] not in _STATES or (values["state"] == "completed" and not ended):
            raise ValueError(f"trial {planned.trial_id} has no state")
        return TrialResult(
            planned=planned,
            state=values["state"],
            reason=_typed(values, "reason", str | None),
            status=status,
            summary=summary,
            env=_of(self._environments, values["env"]),
            config=_of(self._configs, values["config"]),
            throughput=_of(self._throughputs, values["throughput"]),
            analysis=self._one(AnalysisRecord, values["analysis"]),
            attempts=tuple(attempts),
            curve=Curve.from_json(values["curve"]) if values["curve"] else None,
            correct=_typed(values, "correct", dict | None),
            imported=imported,
            problems=tuple(_typed(values, "problems", list)),
        )


_STATES = frozenset(get_args(State)) | {"missing", "damaged"}
_SCHEME = re.compile(r"[a-zA-Z][\w+.-]*:|//")
_ValueT = TypeVar("_ValueT")


def _typed(values: Mapping[str, Any], key: str, kind: type | UnionType) -> Any:
    """Raises KeyError or TypeError."""
    if not isinstance(values[key], kind):
        raise TypeError(f"{key} is of the wrong type")
    return values[key]


def _of(shared: Mapping[str, _ValueT], key: str | None) -> _ValueT | None:
    return None if key is None else shared[key]


def compact_lines(values: Mapping[str, Any]) -> str:
    """JSON with a line for each entry of the objects and lists near the top.

    `json.dumps(indent=…)` is ten times as slow, and a file of one line cannot be compared.
    """
    return "".join(compact_pieces(values))


def compact_pieces(values: Any, indent: str = "", depth: int = 3) -> Iterator[str]:
    """`compact_lines` in pieces; an iterator in `values` is written as a list, and used up.

    Args:
        values: plain data.
        indent: of the line on which it begins.
        depth: how many levels of objects get lines of their own.
    """
    inner = indent + "  "
    before = "\n"
    if depth and isinstance(values, Mapping) and values:
        yield "{"
        for key, value in values.items():
            yield f"{before}{inner}{_json(key)}: "
            yield from compact_pieces(value, inner, depth - 1)
            before = ",\n"
        yield f"\n{indent}}}"
    elif isinstance(values, Iterator) or (depth and isinstance(values, list) and values):
        yield "["
        for value in values:
            yield f"{before}{inner}{_json(value)}"
            before = ",\n"
        yield f"\n{indent}]"
    else:
        yield _json(values)


_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
