"""What people call the nodes of a Ray cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any


def node_names(nodes: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Names by node id: the one given to `ray start`, else the host's, else the address.

    Args:
        nodes: as `ray.nodes()` says them. A host's name counts where only one living node has it.
    """
    hosts = Counter(node["NodeManagerHostname"] for node in nodes if node["Alive"])
    return {node["NodeID"]: _name(node, hosts) for node in nodes}


def _name(node: Mapping[str, Any], hosts: Mapping[str, int]) -> str:
    given, host = str(node["NodeName"]), str(node["NodeManagerHostname"])
    address = str(node["NodeManagerAddress"])
    if given != address:
        return given
    return host if hosts.get(host, 0) <= 1 else address
