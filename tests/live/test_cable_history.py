"""History on the extended protocol (protocol §2): replays from a real log, by position and by the server's clock.

Which request is served and which is rejected is held by tests/transports/cable/test_session.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.cable import EXT, CableClient, command, identifier
from tests.live.conftest import Servers
from tests.live.followers import Position, follow
from tests.live.server import Server
from tests.live.wire import until


@pytest.fixture
def client(server: Server) -> Iterator[CableClient]:
    with CableClient(server.address, (EXT,)) as opened:
        opened.welcome()
        yield opened


def at(stream: str, position: Position | str, **more: Any) -> dict[str, Any]:
    """A history request for what came after a position."""
    epoch, offset = Position.of(str(position))
    return {"streams": {stream: {"epoch": epoch, "offset": offset}}, **more}


def since(seconds: float) -> dict[str, Any]:
    """What @anycable/core always sends: whole seconds, no streams."""
    return {"since": int(seconds), "streams": {}}


def numbers(messages: list[dict[str, Any]]) -> list[Any]:
    """`n` of each data frame, the type of each other message."""
    return [one["message"]["n"] if "message" in one else one["type"] for one in messages]


def ask(client: CableClient, stream: str, history: object) -> list[Any]:
    """A history command and all its answers."""
    client.send(command("history", identifier(stream), history=history))
    return numbers(settled(client))


def subscribe(client: CableClient, stream: str, history: object) -> list[Any]:
    """A subscribe that carries history, and all its answers."""
    client.send(command("subscribe", identifier(stream), history=history))
    return numbers(settled(client))


def settled(client: CableClient) -> list[dict[str, Any]]:
    """Everything up to the answer of a history request, and what comes right behind it."""
    seen = [client.message()]
    while seen[-1].get("type") not in ("confirm_history", "reject_history"):
        seen.append(client.message())
    return seen + client.fence()


# --- with the subscribe


def test_history_by_offset_follows_the_confirm(server: Server, client: CableClient, log: str) -> None:
    known = Position.of(server.count(log, 0, 3))
    server.count(log, 3, 4)
    client.send(command("subscribe", identifier(log), history=at(log, known)))
    answers = settled(client)
    assert numbers(answers) == ["confirm_subscription", 3, 4, 5, 6, "confirm_history"]
    data = [one for one in answers if "message" in one]
    assert [(one["stream_id"], one["epoch"]) for one in data] == [(log, known.epoch)] * 4
    assert [one["offset"] for one in data] == [known.plus(n).id for n in range(1, 5)]
    server.publish(log, {"n": 7})
    assert client.message()["message"] == {"n": 7}


def test_offset_0_of_an_empty_stream_can_be_served(server: Server, client: CableClient, log: str) -> None:
    empty = client.subscribe(identifier(log))["position"]
    client.send(command("unsubscribe", identifier(log)))
    assert subscribe(client, log, at(log, empty)) == ["confirm_subscription", "confirm_history"]
    server.publish(log, {"n": 0})
    assert client.message()["message"] == {"n": 0}


def test_history_since_a_second_of_the_servers_clock(server: Server, client: CableClient, log: str) -> None:
    """Whole seconds, inclusive: what @anycable/core asks for on its first connection."""
    now = time.time()
    server.count(log, 0, 2)
    assert subscribe(client, log, since(now)) == ["confirm_subscription", 0, 1, "confirm_history"]
    assert ask(client, log, since(time.time() + 60)) == ["confirm_history"]
    server.count(log, 2, 199)
    assert [client.message()["message"]["n"] for _ in range(199)] == list(range(2, 201))
    assert ask(client, log, since(1)) == ["reject_history"], "one more than MAX_REPLAY"


def test_the_newest_of_a_state_comes_once(server: Server, client: CableClient, state: str) -> None:
    """Behind a replay that did not hold it, or within the replay."""
    known = server.count(state, 0, 1)
    server.count(state, 1, 2)
    assert subscribe(client, state, at(state, known)) == ["confirm_subscription", 1, 2, "confirm_history"]
    client.send(command("unsubscribe", identifier(state)))
    got = subscribe(client, state, since(time.time() + 60))
    assert sorted(map(str, got)) == ["2", "confirm_history", "confirm_subscription"]
    assert got[0] == "confirm_subscription"


def test_the_oldest_position_that_can_be_served(servers: Servers, handover: str) -> None:
    """`offset == oldest - 1` misses nothing; one before it does."""
    server = servers.get(HANDOVER=handover, KEEP_EVENTS="50", MAX_REPLAY="1000")
    stream = servers.stream(server, "log")
    first = Position.of(server.count(stream, 0, 1))
    last = server.count(stream, 1, 120)

    def trimmed() -> bool:
        with follow("sse", server.address, stream, first) as client:
            return client.verdict == "gap"

    until(trimmed, "something is trimmed away")
    with CableClient(server.address, (EXT,)) as opened:
        opened.welcome()
        offsets = range(Position.of(last).id)
        answers = [replayed(opened, stream, Position(first.epoch, offset)) for offset in offsets]
    edge = next(offset for offset in offsets if answers[offset])
    assert edge > 0
    assert answers[edge][0] == edge + 1, "the oldest update is the first that comes"
    assert all(answers[edge:]) and not any(answers[:edge])


def replayed(client: CableClient, stream: str, position: Position) -> list[int]:
    """The offsets of a replay after `position`; empty when it was rejected."""
    client.send(command("subscribe", identifier(stream), history=at(stream, position)))
    got = settled(client)
    client.send(command("unsubscribe", identifier(stream)))
    if any(one.get("type") == "reject_history" for one in got):
        assert not [one for one in got if "message" in one], "never a partial replay"
        return []
    return [one["offset"] for one in got if "message" in one]


def test_history_on_a_rejected_subscribe_is_skipped(client: CableClient) -> None:
    client.send(command("subscribe", identifier("no_such_stream"), history=since(1)))
    assert client.message()["type"] == "reject_subscription"
    assert client.fence() == []


# --- as a command


def test_the_history_command_replays_and_confirms(server: Server, client: CableClient, log: str) -> None:
    client.subscribe(identifier(log))
    first = Position.of(server.publish(log, {"n": 0}))
    server.count(log, 1, 4)
    assert [client.message()["message"]["n"] for _ in range(5)] == [0, 1, 2, 3, 4]
    assert ask(client, log, at(log, first.plus(1))) == [2, 3, 4, "confirm_history"]
    server.publish(log, {"n": 5})
    assert client.message()["message"] == {"n": 5}


def test_live_updates_never_overtake_the_replay(server: Server, client: CableClient, log: str) -> None:
    """@anycable/core resumes from the position of the last frame: an older frame after newer ones would set it back."""
    known = server.count(log, 0, 1)
    server.count(log, 1, 150)
    client.send(command("subscribe", identifier(log), history=at(log, known)))
    for n in range(151, 171):
        server.publish(log, {"n": n})
    offsets: list[int] = []
    while len(offsets) < 170:
        message = client.message()
        if "message" in message:
            offsets.append(message["offset"])
    assert offsets == list(range(2, 172))
