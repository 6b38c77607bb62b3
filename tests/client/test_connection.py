"""What every open connection does, over both transports, against a real server."""

from __future__ import annotations

import pytest

from dashboard_rt.client.connection import ConnectOptions, EventKind, Step
from dashboard_rt.client.target import read_target
from dashboard_rt.types import Position, Verdict
from tests.client.connecting import BOTH_TRANSPORTS, OPTIONS, Opener, collect_events
from tests.fakes import Behaviour, serving

pytestmark = [pytest.mark.anyio, BOTH_TRANSPORTS]


async def test_a_fresh_client_receives_verdict_updates_and_heartbeats(opener: Opener) -> None:
    wanted = {EventKind.HEARTBEAT, EventKind.UPDATE}
    with serving() as fake:
        async with opener(read_target(fake.url), OPTIONS) as connection:
            events = await collect_events(connection, lambda seen: wanted <= {event.kind for event in seen})
    verdict = next(event for event in events if event.kind is EventKind.VERDICT)
    assert verdict.verdict is Verdict.FRESH
    assert verdict.position is not None
    positions = [event.position for event in events if event.kind is EventKind.UPDATE]
    ids = [position.id for position in positions if position is not None]
    assert ids == [verdict.position.id + 1 + n for n in range(len(positions))]
    heartbeat = next(event for event in events if event.kind is EventKind.HEARTBEAT)
    assert heartbeat.sent_at is not None
    assert heartbeat.sent_at > 1_600_000_000


async def test_every_step_is_timed_in_order(opener: Opener) -> None:
    with serving() as fake:
        async with opener(read_target(fake.url), OPTIONS) as connection:
            await collect_events(connection, lambda seen: seen[-1].kind is EventKind.UPDATE)
    times = [connection.timing.ms(step) for step in Step]
    assert all(ms is not None and ms > 0 for ms in times)
    assert times == sorted(times, key=lambda ms: ms or 0)


async def test_a_position_resumes_after_it(opener: Opener) -> None:
    with serving() as fake:
        position = Position("k3f9", fake.head - 5)
        async with opener(read_target(fake.url), ConnectOptions(5, position)) as connection:
            events = await collect_events(connection, lambda seen: seen[-1].kind is EventKind.UPDATE)
    assert fake.resumed == [str(position)]
    verdicts = [event.verdict for event in events if event.kind is EventKind.VERDICT]
    assert verdicts == [Verdict.RECOVERED]
    assert events[-1].position == Position("k3f9", position.id + 1)


async def test_a_goodbye_carries_the_delay_before_reconnecting(opener: Opener) -> None:
    with serving(Behaviour(cut_after=2, goodbye="server_restart", retry_ms=2310)) as fake:
        async with opener(read_target(fake.url), OPTIONS) as connection:
            goodbye = (await collect_events(connection))[-1]
    assert (goodbye.kind, goodbye.retry, goodbye.may_reconnect) == (EventKind.GOODBYE, 2.31, True)
    assert goodbye.goodbye_reason == "server_restart"


async def test_an_error_of_the_caller_is_not_translated(opener: Opener) -> None:
    with serving() as fake, pytest.raises(BrokenPipeError):
        async with opener(read_target(fake.url), OPTIONS):
            raise BrokenPipeError
