"""A Ray cluster of several node processes on this machine, run as a script: it ends when its standard input does.

The first line of output is its address as JSON; a line ``kill N`` on standard input kills the N-th node (SIGKILL).
"""

from __future__ import annotations

import json
import sys

from ray.cluster_utils import Cluster


def main() -> None:
    """Start the nodes of ``argv[1]``: a JSON list of what each has, the head first."""
    small = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
    cluster = Cluster()
    nodes = [cluster.add_node(**small, **has) for has in json.loads(sys.argv[1])]
    print(json.dumps({"address": cluster.address, "nodes": [node.node_id for node in nodes]}), flush=True)
    try:
        for line in sys.stdin:
            number = int(line.split()[1])
            cluster.remove_node(nodes[number], allow_graceful=False)
            print(json.dumps({"killed": number}), flush=True)
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
