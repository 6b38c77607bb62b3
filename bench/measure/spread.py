"""How the clients of a server are spread over its processes, which share one port."""

from __future__ import annotations

import psutil  # type: ignore[import-untyped]

from bench.measure import procfs


def over_processes(pid: int, port: int) -> dict[int, int]:
    """How many connections to `port` each process of the tree has, those that have none left out. It reads the
    kernel's table of connections once a process: some 10 ms for each 1,000 clients."""
    counts = {process: _connections(process, port) for process in procfs.tree(pid)}
    return {process: count for process, count in counts.items() if count}


def _connections(pid: int, port: int) -> int:
    try:
        found = psutil.Process(pid).net_connections("tcp4")
    except psutil.NoSuchProcess:
        return 0
    return sum(one.status == psutil.CONN_ESTABLISHED and one.laddr.port == port for one in found)
