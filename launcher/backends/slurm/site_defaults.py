"""Defaults that a site or a user has set for sbatch by variables such as SBATCH_PARTITION.

To sbatch they outrank the script. Here a field of `resources` outranks them, and what is checked
is what is submitted: they are filled in where `resources` says nothing, and hidden from sbatch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from launcher.resources import Resources

_FIELDS = ("partition", "account", "qos", "constraint")
_OPTIONS = ("reservation", "wckey")


def with_site_defaults(resources: Resources, environ: Mapping[str, str] | None = None) -> Resources:
    """Resources as sbatch would take them; `environ` is this process's own if it is not given."""
    given = os.environ if environ is None else environ
    fields = {
        name: value
        for name in _FIELDS
        if getattr(resources, name) is None and (value := given.get(f"SBATCH_{name.upper()}"))
    }
    options = {
        name: value
        for name in _OPTIONS
        if name not in resources.sbatch and (value := given.get(f"SBATCH_{name.upper()}"))
    }
    return resources.model_copy(update={**fields, "sbatch": {**resources.sbatch, **options}})


def with_variables(
    message: str, resources: Resources, environ: Mapping[str, str] | None = None
) -> str:
    """A refusal of what variables have filled in, with their names: no sweep file has it."""
    given = os.environ if environ is None else environ
    values = {name: getattr(resources, name) for name in _FIELDS}
    values |= {name: resources.sbatch.get(name) for name in _OPTIONS}
    blamed = [
        f"SBATCH_{name.upper()} is {value!r} in the environment"
        for name, value in values.items()
        if value and value == given.get(f"SBATCH_{name.upper()}") and name in message.lower()
    ]
    return f"{message} ({'; '.join(blamed)})" if blamed else message
