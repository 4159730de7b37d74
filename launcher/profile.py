"""Profiles: a partial sweep file that is laid over the rest of it."""

from __future__ import annotations

from collections.abc import Mapping

from deit_core.config_checks import nearest
from launcher.errors import Location, SweepError
from launcher.layers import merge, nest, unknown_key
from launcher.yaml_source import Document, Node

PROFILE_KEYS = (
    "name",
    "description",
    "base",
    "set",
    "axes",
    "seeds",
    "search",
    "resources",
    "teacher",
    "bench",
)
"""Keys of a profile: all of a sweep file's but `profiles`."""

Entries = Mapping[str, Node]


def section(entries: Entries, key: str) -> Entries:
    """The mapping under a top-level key; empty where the key is missing or null.

    Raises:
        SweepError: something that is no mapping.
    """
    node = entries.get(key)
    if node is None or node.value is None:
        return {}
    if not isinstance(node.value, Mapping):
        raise SweepError(
            f"{key}: expected `key: value` lines, but {node.kind} is given", node.location
        )
    return node.value


def profile_entries(document: Document, name: str | None) -> Entries:
    """The entries of the profile called `name`; none where no profile is asked for.

    Raises:
        SweepError: no such profile, or an unknown key in it.
    """
    profiles = section(document.entries, "profiles")
    if name is None:
        return {}
    if name not in profiles:
        hint = nearest(name, profiles) if profiles else "; the file has no profiles"
        raise SweepError(
            f"profile {name}: there is no such profile{hint}", Location(document.source)
        )
    entries = section(profiles, name)
    for key, node in entries.items():
        if key not in PROFILE_KEYS:
            raise unknown_key(f"profiles.{name}.{key}", PROFILE_KEYS, node)
    return entries


def apply_profile(main: Entries, profile: Entries) -> dict[str, Node]:
    """The sweep's entries with the profile on top.

    `set`, `resources`, `search`, `teacher` and `bench` are merged key by key, `axes` axis by axis,
    where null takes one away; all else is replaced.
    """
    merged = dict(main)
    for key, node in profile.items():
        if key in ("set", "axes", "resources", "search", "teacher", "bench") and key in main:
            merged[key] = _merged(key, main, profile)
        else:
            merged[key] = node
    return merged


def _merged(key: str, main: Entries, profile: Entries) -> Node:
    node = profile[key]
    if node.value is None:  # `teacher: null` in a profile takes the stage away, `bench: null` too
        return node
    below, over = section(main, key), section(profile, key)
    if key == "set":
        return Node(merge(nest(below), nest(over)), node.location, node.key)
    entries = {**below, **over}
    if key == "teacher":
        inner = merge(nest(section(below, "set")), nest(section(over, "set")))
        if inner:
            entries["set"] = Node(inner, node.location, node.key)
    if key == "axes":
        for name, child in over.items():
            if child.value is None and name not in below:
                raise SweepError(
                    f"axes.{name}: there is no such axis to take away{nearest(name, below)}",
                    child.where,
                )
        entries = {name: child for name, child in entries.items() if child.value is not None}
    return Node(entries, node.location, node.key)
