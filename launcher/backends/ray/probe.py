"""Asks a Ray cluster what it has: `python -m launcher.backends.ray.probe FD [ADDRESS]`.

Prints what it answers; FD is closed when all is imported and the asking begins.

Without an address: the cluster that `ray start` has started on this machine last, if it lives. It
does not join the cluster (`ray.init`), which takes seconds, and minutes where nothing answers. The
modules that it uses for that are Ray's own; nothing else here touches them.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
from typing import Any

from deit_core.network import is_loopback, own_addresses
from launcher.backends.ray.cluster import ClusterView, RayNode
from launcher.backends.ray.names import node_names

_ALIVE = 0
"""`GcsNodeInfo.GcsNodeState.ALIVE`."""
_TIMEOUT_S = 5.0


def find_address() -> str | None:
    """Of the cluster that was started on this machine; None where that is gone."""
    from ray._private.services import find_bootstrap_address

    address = find_bootstrap_address(None)
    if not address:
        return None
    host, _, port = str(address).rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _TIMEOUT_S).close()
    except OSError:
        return None
    return str(address)


def ask(address: str) -> ClusterView:
    """What the cluster at an address says."""
    import ray
    from ray._common.usage.usage_lib import get_cluster_metadata
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # compiled
    from ray.exceptions import AuthenticationError

    try:
        client = GcsClient(address=address)
        infos = client.get_all_node_info(timeout=_TIMEOUT_S).values()
        theirs = get_cluster_metadata(client)
    except AuthenticationError:
        return ClusterView(address=address, error="auth")
    versions = (theirs["ray_version"], theirs["python_version"])
    ours = (ray.__version__, platform.python_version())
    view = ClusterView(
        address=address,
        nodes=_nodes(list(infos)),
        ray_version=versions[0],
        python_version=versions[1],
    )
    if versions == ours:
        return view
    said = f"has Ray {versions[0]} on Python {versions[1]}, and here is Ray {ours[0]} on Python"
    detail = f"{said} {ours[1]}; both must be the same"
    return view.model_copy(update={"error": "version", "detail": detail})


def _nodes(infos: list[Any]) -> tuple[RayNode, ...]:
    named = node_names(
        [
            {
                "NodeID": info.node_id.hex(),
                "NodeName": info.node_name,
                "NodeManagerHostname": info.node_manager_hostname,
                "NodeManagerAddress": info.node_manager_address,
                "Alive": info.state == _ALIVE,
            }
            for info in infos
        ]
    )
    return tuple(
        RayNode(
            name=named[info.node_id.hex()],
            cpus=info.resources_total.get("CPU", 0.0),
            gpus=info.resources_total.get("GPU", 0.0),
            memory_gb=info.resources_total.get("memory", 0.0) / 1e9,
            here=_is_here(info.node_manager_address),
        )
        for info in infos
        if info.state == _ALIVE
    )


def _is_here(address: str) -> bool:
    return is_loopback(address) or address in own_addresses()


def main() -> int:
    """Print one line of JSON."""
    import ray._private.services
    import ray._raylet  # noqa: F401 - the slow part of what follows

    os.close(int(sys.argv[1]))
    address = sys.argv[2] if len(sys.argv) > 2 else find_address()
    view = ClusterView() if address is None else ask(address)
    sys.stdout.write(json.dumps(view.model_dump(mode="json")) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
