"""JSON Schemas of training configs and sweep files, for editors.

`python -m launcher.schema` writes them to ./schemas; a test keeps the copies current. An editor
with a YAML language server checks and completes a file that begins with
`# yaml-language-server: $schema=PATH`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from deit_core.config import RunConfig
from launcher.bench.section import BenchSettings
from launcher.fields import FREE_FORM, inner_sections, sections
from launcher.resources import Resources
from launcher.search.config import Range, Search
from launcher.sweep import TEACHER_KEYS

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TEXT = {"type": "string"}
_NAME = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$"}
_SEED = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}


def run_config_schema() -> Schema:
    """A training config file: RunConfig, dotted keys, and `base`."""
    config = RunConfig.model_json_schema()
    return {
        "$schema": DIALECT,
        "title": "Training config",
        "description": "Everything that decides one training run.",
        **_config_object(config["properties"]),
        "$defs": config["$defs"],
    }


def sweep_schema() -> Schema:
    """A sweep file."""
    config = RunConfig.model_json_schema()
    partial = _sweep_properties()
    return {
        "$schema": DIALECT,
        "title": "Sweep",
        "description": "A base config, what to vary around it, seeds and resources.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **partial,
            "profiles": {
                "description": "Partial sweep files by name, for --profile.",
                "type": "object",
                "additionalProperties": _object(partial),
            },
        },
        "$defs": {
            **config["$defs"],
            "Set": _config_object(config["properties"], base=False),
            "Condition": _by_field(lambda value: {"anyOf": [value, _list(value)]}),
            "Axes": _axes(),
            "Lists": _by_field(_list),
            "Values": _by_field(lambda value: value),
            "Range": _definition(Range),
            "Search": _definition(Search),
            "Resources": _definition(Resources),
            "Bench": _definition(BenchSettings),
        },
    }


def write_schemas(folder: Path) -> None:
    """Write both schemas."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in (("run_config", run_config_schema()), ("sweep", sweep_schema())):
        text = json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
        (folder / f"{name}.schema.json").write_text(text, encoding="utf-8")


def _object(properties: Mapping[str, Any], description: str | None = None) -> Schema:
    schema: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return {"description": description, **schema} if description else schema


def _nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items, "minItems": 1}


def _definition(model: type[BaseModel]) -> Schema:
    return model.model_json_schema()


def _config_object(properties: Mapping[str, Any], *, base: bool = True) -> Schema:
    """Nested sections and dotted fields of a training config; null takes the default of each."""
    own = {"base": {**_TEXT, "description": "Training config to build on, relative to this file."}}
    leaves = {name: _nullable(leaf) for name, leaf in _leaves().items()}
    nested = {
        section: _nullable(
            _object({key: leaves[f"{section}.{key}"] for key in model.model_fields}, model.__doc__)
        )
        for section, model in sections().items()
    }
    others = {name: _nullable(value) for name, value in properties.items() if name not in nested}
    return {
        **_object({**(own if base else {}), **others, **nested, **leaves}),
        "patternProperties": _free_form({}),
    }


def _leaves() -> dict[str, Schema]:
    """Dotted fields, each pointing at its place in its section's definition."""
    leaves: dict[str, Schema] = {}
    for section, model in sections().items():
        leaves |= _properties(section, model)
        for name, inner in inner_sections(section).items():
            leaves |= _properties(f"{section}.{name}", inner)
    return leaves


def _properties(prefix: str, model: type[BaseModel]) -> dict[str, Schema]:
    place = f"#/$defs/{model.__name__}/properties"
    return {f"{prefix}.{name}": {"$ref": f"{place}/{name}"} for name in model.model_fields}


def _free_form(value: Schema) -> dict[str, Schema]:
    owners = [name for name, model in sections().items() if FREE_FORM in model.model_fields]
    return {rf"^({'|'.join(owners)})\.{FREE_FORM}\..+$": value}


def _by_field(wrap: Callable[[Schema], Schema], extra: Mapping[str, Any] | None = None) -> Schema:
    """An object keyed by dotted fields whose values are `wrap(schema of the field)`."""
    properties = {field: wrap(leaf) for field, leaf in _leaves().items()}
    return {
        **_object({**properties, **(extra or {})}),
        "patternProperties": _free_form(wrap({})),
    }


def _axes() -> Schema:
    def conditional(values: Schema) -> Schema:
        return _object({"values": values, "when": {"$ref": "#/$defs/Condition"}})

    def axis(value: Schema) -> Schema:
        return {"anyOf": [_list(value), conditional(_list(value)), {"type": "null"}]}

    def drawn(value: Schema) -> Schema:
        bounds = {name: {"$ref": f"#/$defs/Range/properties/{name}"} for name in Range.model_fields}
        span = _object({**bounds, "when": {"$ref": "#/$defs/Condition"}})
        return {"anyOf": [_list(value), conditional(_list(value)), span]}

    together = {"$ref": "#/$defs/Lists"}
    return _by_field(
        axis,
        {
            "zip": {
                "description": "Fields that move together: lists of equal length.",
                "anyOf": [together, _list(together), {"type": "null"}],
            },
            "list": {
                "description": "Cells given one by one.",
                "anyOf": [_list({"$ref": "#/$defs/Values"}), {"type": "null"}],
            },
            "random": {
                "description": "Fields drawn at random, search.trials times.",
                "anyOf": [_by_field(drawn), {"type": "null"}],
            },
            "search": {
                "description": "Fields whose values a search chooses, one point after another.",
                "anyOf": [_by_field(drawn), {"type": "null"}],
            },
        },
    )


def _sweep_properties() -> dict[str, Schema]:
    """Keys of a sweep file that a profile may have too."""
    settings = {"$ref": "#/$defs/Set", "description": "Fields of the training config."}
    path = {**_TEXT, "description": "Training config to build on, relative to this file."}
    teacher = dict(zip(TEACHER_KEYS, (path, settings, _SEED), strict=True))
    return {
        "name": {**_NAME, "description": "Names the folder of the results; the file's by default."},
        "description": {**_TEXT, "description": "One or two sentences, shown in the report."},
        "base": path,
        "set": settings,
        "axes": {"$ref": "#/$defs/Axes", "description": "What varies."},
        "seeds": {
            "description": "Seeds, or their number: 3 means [0, 1, 2].",
            "anyOf": [_list(_SEED), {"type": "integer", "minimum": 1}],
        },
        "search": {"$ref": "#/$defs/Search"},
        "resources": {"$ref": "#/$defs/Resources"},
        "bench": {
            "description": "Whether and how the speed of the models is measured.",
            "anyOf": [{"$ref": "#/$defs/Bench"}, {"type": "null"}],
        },
        "teacher": {
            "description": "A teacher that is trained first, once for all students.",
            "anyOf": [_object(teacher), {"type": "null"}],
        },
    }


if __name__ == "__main__":
    write_schemas(Path("schemas"))
