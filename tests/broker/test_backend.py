"""broker/backend: the pauses between attempts, what is logged, and that no burst fills memory or keeps the loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest
from broadcaster import Broadcast, Event

from dashboard_rt.broker import backend
from dashboard_rt.broker.backend import Fault, Gap, Inbox, Outage, ReconnectingBackend, backoff
from dashboard_rt.telemetry import Telemetry
from tests.broker.members import until

pytestmark = pytest.mark.anyio


class Scripted(ReconnectingBackend):
    """A service without a network: each connection does what the next word of the script says."""

    def __init__(self, *script: str) -> None:
        self.telemetry = Telemetry()
        super().__init__("The broker (scripted)", self.telemetry)
        self.script = [*script]
        self.opened = self.closed = 0

    async def open(self, channel: str) -> None:
        self.opened += 1
        if self.script and self.script[0] == "refuse":
            self.script.pop(0)
            raise ConnectionRefusedError("refused")
        if self.script and self.script[0] == "hang":
            self.script.pop(0)
            await asyncio.Event().wait()

    async def read(self) -> None:
        word = self.script.pop(0) if self.script else "stay"
        if word == "cut":
            raise ConnectionResetError("cut")
        if word == "burst":
            for number in range(300):
                self.received(str(number))
        await asyncio.Event().wait()

    async def probe(self) -> None:
        self.alive()

    async def close(self) -> None:
        self.closed += 1

    async def send(self, channel: str, messages: Sequence[bytes]) -> None:
        await asyncio.Event().wait()

    async def close_sender(self) -> None:
        pass

    def explain(self, error: Exception) -> Fault:
        return Fault(f"is away ({error}).")


def test_pauses_grow_to_a_limit_and_are_anything_below() -> None:
    assert [backoff(attempt, lambda low, high: high) for attempt in range(7)] == [
        *(0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0)
    ]
    assert backoff(10**6, lambda low, high: low) == 0


async def test_every_connection_is_closed_and_each_but_the_first_comes_after_a_loss(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    service = Scripted("cut", "refuse", "refuse", "refuse", "stay")
    broadcast = Broadcast(backend=service)
    await broadcast.connect()
    kinds: list[str] = []
    async with broadcast.subscribe("a") as subscriber:
        for _ in range(3):
            kinds.append(type(await subscriber.get()).__name__)
    await broadcast.disconnect()
    assert kinds == ["Gap", "Lost", "Gap"]
    assert service.opened == service.closed == 5
    assert service.telemetry.value("broker_failures") == 4
    assert service.telemetry.value("broker_reconnects") == 1
    lost, back = [record.message for record in caplog.records if record.name == backend.__name__]
    assert "is away (cut)" in lost and "POLL_SECONDS" in lost and "is back after" in back


async def test_a_burst_is_taken_a_message_a_turn() -> None:
    """broadcaster would take all of it in one turn, into a queue without bounds."""
    service = Scripted("burst")
    broadcast = Broadcast(backend=service)
    await broadcast.connect()
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1
        asyncio.get_running_loop().call_soon(turn)

    async with broadcast.subscribe("a") as subscriber:
        turn()
        received: list[Event] = []
        while len(received) < 301:
            received.append(await subscriber.get())
    assert [event.message for event in received] == ["", *map(str, range(300))]
    assert turns >= 300
    await broadcast.disconnect()


async def test_what_comes_faster_than_it_is_taken_is_dropped_for_one_gap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backend, "EVENT_BYTES", 0)
    monkeypatch.setattr(backend, "MAX_WAITING_BYTES", 10)
    telemetry = Telemetry()
    inbox = Inbox(telemetry)
    for message in ("1234", "5678", "90ab", "cd"):
        inbox.put(Event("a", message))
    assert [type(await inbox.get()) for _ in range(2)] == [Gap, Event]
    assert telemetry.value("broker_overruns") == 1
    inbox.put(Event("a", "0123456789"))
    assert (await inbox.get()).message == "0123456789", "what was taken makes room"


async def test_messages_without_a_text_take_room_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "MAX_WAITING_BYTES", 10 * backend.EVENT_BYTES)
    telemetry = Telemetry()
    inbox = Inbox(telemetry)
    for _ in range(25):
        inbox.put(Event("a", ""))
    assert telemetry.value("broker_overruns") == 2
    for _ in range(5):
        await inbox.get()
    for _ in range(10):
        inbox.put(Event("a", ""))
    assert telemetry.value("broker_overruns") == 2, "what was taken makes room"


async def test_an_attempt_that_hangs_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "OPEN_SECONDS", 0.01)
    service = Scripted("hang", "stay")
    await service.subscribe("a")
    await until(lambda: service.opened == 2, "it tries again")
    assert isinstance(await service.next_published(), Gap)
    await service.unsubscribe("a")


async def test_a_publish_that_hangs_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "PUBLISH_SECONDS", 0.01)
    with pytest.raises(Fault):
        await Scripted().publish("a", [b"x"])


async def test_one_channel_at_a_time() -> None:
    service = Scripted()
    await service.subscribe("a")
    with pytest.raises(RuntimeError, match="one channel at a time"):
        await service.subscribe("b")
    await service.unsubscribe("a")
    await service.subscribe("b")
    await until(lambda: service.opened, "it listens")
    await service.unsubscribe("b")


def test_a_reason_that_a_person_has_to_mend_is_logged_when_it_comes_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    outage = Outage("The broker", "Wait.")
    for fault in (Fault("is away."), Fault("is slow."), *[Fault("refuses the password.", lasting=True)] * 3):
        outage.note(fault)
    outage.end()
    outage.end()
    assert [record.message.split(".")[0] for record in caplog.records] == [
        "The broker is away",
        "The broker refuses the password",
        "The broker is back after 0",
    ]
