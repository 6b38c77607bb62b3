"""The same clients made of the libraries that people use: httpx with httpx-sse, and websockets without compression.

They cost some hundred times what the raw client costs, so they serve as a check on it: at most 100 of them must see
what it sees. `bytes` are of the updates' texts here: libraries hide what was on the wire.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
from httpx_sse import ServerSentEvent, SSEError, aconnect_sse
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from bench.errors import Environment
from bench.load import cable, payload, pipe
from bench.load.group import Group
from bench.load.subscriber import Subscriber
from bench.load.tally import Tally
from bench.load.wire import Batch, Control, WireError

OPEN_SECONDS = 10.0
FAILURES = (OSError, TimeoutError, WireError, httpx.HTTPError, SSEError, WebSocketException)


class Reader(Subscriber):
    """One client: a task that reads until its server or its group ends it."""

    __slots__ = ("is_ready", "settled", "task")

    def __init__(self, index: int, tally: Tally, first: int) -> None:
        super().__init__(index, tally, first)
        self.is_ready = False
        self.settled = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        return self.is_ready


class LibraryClient(Group):
    """All connections of this process; `setup` as for Group."""

    def __init__(self, setup: dict[str, Any]) -> None:
        super().__init__(setup)
        if self.wire.deflates:
            raise Environment(
                "library clients do not compress: check cable+deflate against the row without it"
            )
        self.orders["close"] = self.close
        self.signal = self.wire.ready if self.wire.is_sse else "confirm_subscription"
        limits = httpx.Limits(max_connections=None)
        timeout = httpx.Timeout(OPEN_SECONDS, read=None)
        self.http = httpx.AsyncClient(limits=limits, timeout=timeout, trust_env=False)

    def subscriber(self, index: int) -> Reader:
        return Reader(index, self.tally, self.first)

    async def enter(self, subscriber: Subscriber) -> int | None:
        assert isinstance(subscriber, Reader)
        started = time.monotonic_ns()
        subscriber.task = asyncio.create_task(self._read(subscriber))
        await subscriber.settled.wait()
        if subscriber.task.done():
            subscriber.task.result()  # raises what is no server's fault
        return time.monotonic_ns() - started if subscriber.is_ready else None

    async def close(self) -> dict[str, Any]:
        """Forget all clients, once each has closed its connection."""
        tasks = [one.task for one in self.subscribers if isinstance(one, Reader) and one.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.subscribers = []
        self.tally.closed = 0
        return {"clients": 0}

    async def _read(self, reader: Reader) -> None:
        try:
            async for batch, size in self._sse() if self.wire.is_sse else self._cable():
                self._hear(reader, batch, size)
            self.tally.errors["the server ended a connection"] += 1
            self.tally.closed += reader.is_ready
        except FAILURES as error:
            self.tally.errors[f"{type(error).__name__}: {error}"] += 1
            self.tally.closed += reader.is_ready
        finally:
            reader.is_ready = False
            reader.settled.set()

    def _hear(self, reader: Reader, batch: Batch, size: int) -> None:
        now = time.monotonic_ns()
        self.tally.reads += 1
        for control in batch.controls:
            self.tally.note(control.name, now)  # no ping frames: websockets answers them itself
            if control.name == "open":
                self.tally.extensions.add(control.detail)
            if control.name == self.signal:
                reader.is_ready = True
                reader.settled.set()
        if batch.updates:
            self.tally.take(batch.updates, reader.ledger, now, size)

    async def _sse(self) -> AsyncIterator[tuple[Batch, int]]:
        """What one event stream brings, and how long each text is."""
        wire = self.wire
        url = f"http://{wire.host}:{wire.port}{wire.path}"
        async with aconnect_sse(self.http, "GET", url, headers=dict(wire.headers)) as source:
            source.response.raise_for_status()
            yield Batch((), (Control("open", "none"),)), 0
            async for event in source.aiter_sse():
                if event.data:  # httpx-sse hands out blocks without data, which WHATWG HTML 9.2.6 drops
                    yield self._of(event), len(event.data)

    def _of(self, event: ServerSentEvent) -> Batch:
        if event.event != "message":
            return Batch((), (Control(event.event, event.data),))
        keys = filter(None, self.wire.envelope.split("."))
        stamp = payload.read(payload.within(_json(event.data), keys))
        return Batch((stamp,), ()) if stamp else Batch((), (Control("foreign", event.data),))

    async def _cable(self) -> AsyncIterator[tuple[Batch, int]]:
        """What one cable brings, and how long each text is."""
        wire = self.wire
        async with connect(
            f"ws://{wire.host}:{wire.port}{wire.path}",
            subprotocols=[Subprotocol(wire.subprotocol)],
            compression=None,
            proxy=None,
            ping_interval=None,
            additional_headers=list(wire.headers),
            open_timeout=OPEN_SECONDS,
        ) as socket:
            if socket.subprotocol != wire.subprotocol:
                raise WireError(f"another subprotocol: {socket.subprotocol!r}")
            yield Batch((), (Control("open", "none"),)), 0
            async for text in socket:
                body = text.encode() if isinstance(text, str) else text
                batch = cable.read_text(body, wire.identifier)
                if any(control.name == "welcome" for control in batch.controls):
                    await socket.send(orjson.dumps(cable.subscription(wire.identifier)).decode())
                yield batch, len(body)


def _json(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise WireError(f"an update that is not JSON: {text[:60]!r}") from None


if __name__ == "__main__":
    pipe.main(LibraryClient, collects=True)
