"""The stock clients under Node (tests/live/node), and what they reported so far."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.live.server import Server
from tests.live.wire import until

HERE = Path(__file__).parent / "node"
KINDS = ("rails", "anycable-v1", "anycable-ext")  # of cable clients
EVENT_SOURCE = "eventsource"
OURS = "ours"  # connectSse over FetchEventSource


def missing() -> str | None:
    """Why the stock clients cannot run here; None when they can."""
    node = shutil.which("node")
    if node is None:
        return "Node >= 20 is not installed"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.strip().lstrip("v").split(".")[0]) < 20:
        return f"Node {version.strip()} is too old, 20 is needed"
    if not (HERE / "node_modules" / "eventsource").is_dir():
        return "the clients are not installed: run scripts/setup-node"
    return None


def client(server: Server, kind: str, stream: str, **more: Any) -> dict[str, Any]:
    """One client for node/follow.js."""
    if kind in (EVENT_SOURCE, OURS):
        url = f"{server.address.origin}/dashboard/stream?stream={stream}"
    else:
        url = f"ws://{server.address.netloc}/cable"
    return {"name": f"{kind} on {stream}", "kind": kind, "url": url, "stream": stream, **more}


class StockClients:
    """A Node process that runs clients; their reports, in order, as they come."""

    def __init__(self, clients: Sequence[dict[str, Any]], log: Path) -> None:
        self.names = [one["name"] for one in clients]
        self.reports: list[dict[str, Any]] = []
        self._log = log
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                ["node", "follow.js", json.dumps(clients)],
                cwd=HERE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")},
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.reports.append(json.loads(line))

    def of(self, name: str, event: str) -> list[dict[str, Any]]:
        return [
            report for report in list(self.reports) if (report["client"], report["event"]) == (name, event)
        ]

    def messages(self, name: str) -> list[Any]:
        return [report["message"] for report in self.of(name, "message")]

    def wait(self, name: str, event: str, count: int = 1, limit: float = 40.0) -> None:
        """Wait until this client reported the event so many times."""
        until(
            lambda: self._alive() and len(self.of(name, event)) >= count, f"{name}: {event} x {count}", limit
        )

    def _alive(self) -> bool:
        assert self.process.poll() is None, f"node ended: {self._log.read_text()[-3000:]}"
        return True

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()
