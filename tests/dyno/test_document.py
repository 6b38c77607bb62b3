"""docs/heroku.md: what it says to type into `make dyno` does what it says, and loses and doubles nothing."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.chaos.clients import END, STREAM, ResumingClient
from tests.chaos.ledger import ClientRecord, Ledger
from tests.dyno.app import ROOT
from tests.live.followers import TRANSPORTS
from tests.live.publishing import RATE, updates
from tests.live.server import TOKEN, Api, die_with_parent
from tests.live.wire import Address, Closed, ask, until
from tests.patience import HANG_LIMIT

DOCUMENT = (ROOT / "docs" / "heroku.md").read_text()
TRIED = DOCUMENT.partition("## Try it here first")[2].partition("\n## ")[0]
COMMANDS = re.findall(r"^\| `([a-z0-9. ]+)` \| ", TRIED, re.MULTILINE)
SETTINGS = {
    "PUBLISH_TOKEN": TOKEN,
    "STREAMS": f"dashboard_updates:state,{STREAM}:log",
    "MAX_REPLAY": "10000",  # more than is published while a database is away
    "RETRY_MAX": "2000",
}


class Terminal:
    """`python -m tests.dyno`, which `make dyno` runs: what is typed into it, and what it says."""

    def __init__(self) -> None:
        settings = [f"--set={name}={value}" for name, value in SETTINGS.items()]
        self.process = subprocess.Popen(
            [*die_with_parent(), sys.executable, "-m", "tests.dyno", "--port=0", *settings],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                self.lines.append(line.rstrip("\n"))

    def type(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()

    def count(self, part: str) -> int:
        return sum(part in line for line in self.lines)

    def shows(self, part: str, times: int = 1) -> None:
        """Wait until it has shown so many lines with this in it."""
        until(lambda: self.count(part) >= times, f"{part}, {times} times")

    def end(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.terminate()
        self._reader.join()
        return self.process.wait()

    @property
    def address(self) -> Address:
        (port,) = re.findall(r"The app is at +https://127\.0\.0\.1:(\d+)/", "\n".join(self.lines))
        return Address("127.0.0.1", int(port), tls=True)


@contextmanager
def terminal() -> Iterator[Terminal]:
    opened = Terminal()
    try:
        opened.shows("Commands, each with Enter")
        yield opened
        assert opened.end() == 0
        assert opened.count("Stopped.") == 1
    finally:
        opened.process.kill()


def says(address: Address, sentence: str) -> bool:
    """Whether what the page shows of the server's health has this sentence."""
    try:
        return any(sentence in each for each in ask(address, "GET", "/health").json()["degraded"])
    except (AssertionError, Closed, OSError):  # the router has answered
        return False


def recovered(address: Address) -> bool:
    try:
        return ask(address, "GET", "/ready").status == 200
    except (Closed, OSError):
        return False


EFFECTS: dict[str, Callable[[Terminal], bool]] = {
    "deploy": lambda it: it.count("Release v2 created") == 1,
    "restart": lambda it: it.count("State changed from starting to up") == 3,
    "kill redis": lambda it: says(it.address, "The broker is away"),
    "start redis": lambda it: recovered(it.address),
    "freeze redis": lambda it: says(it.address, "The broker is away"),
    "thaw redis": lambda it: recovered(it.address),
    "kill postgres": lambda it: says(it.address, "The log cannot be read"),
    "start postgres": lambda it: recovered(it.address),
    "kill web.1": lambda it: it.count("State changed from up to crashed") == 1 and recovered(it.address),
    "status": lambda it: it.count(" MB of 512 ") == 1,
}


def test_the_document_says_what_is_tried_here() -> None:
    assert list(EFFECTS) == COMMANDS


def obey(typed: Terminal, command: str, acknowledged: list[int]) -> None:
    """Type a command, and wait for what the document says of it. Updates flow again, unless their database is away."""
    typed.type(command)
    typed.shows(f"Done: {command}")
    until(lambda: EFFECTS[command](typed), f"{command}: its effect")
    before = len(acknowledged)
    if command != "kill postgres":
        until(lambda: len(acknowledged) >= before + RATE, f"{command}: updates flow")


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.live
def test_what_the_document_says_to_type() -> None:
    """Clients of each transport and a publisher are there all the time; in the end each has seen each update once."""
    records = [ClientRecord(transport) for transport in TRANSPORTS]
    with terminal() as typed:
        address = typed.address
        clients = [
            ResumingClient(record, record.name, [address], seed) for seed, record in enumerate(records)
        ]
        for client in clients:
            client.start()
        for client in clients:
            assert client.started.wait(HANG_LIMIT), f"{client.name} has not connected"
        with updates(address, STREAM, patient=True) as acknowledged:
            for command in COMMANDS:
                obey(typed, command, acknowledged)
        api = Api(address)
        api.publish(STREAM, {"n": END})
        api.connection.close()
        for client in clients:
            client.join(HANG_LIMIT)
            assert client.error is None and not client.is_alive(), client.name
    log = [*((n, n) for n in acknowledged), (len(acknowledged) + 1, END)]
    ledger = Ledger({n: n for n in acknowledged}, clients=records)
    assert ledger.faults_found(log) == [], ledger.report(log)
    assert not any(record.skips for record in records), "nobody was told of a gap"
