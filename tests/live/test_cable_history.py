"""Protocol §2, history on the extended protocol: after the confirm or as a command of its own, whole or not at all."""

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
    """The messages as a test wants to read them: `n` of data frames, type of the others."""
    return [one["message"]["n"] if "message" in one else one["type"] for one in messages]


def ask(client: CableClient, stream: str, history: object) -> list[Any]:
    """A history command and everything it brings."""
    client.send(command("history", identifier(stream), history=history))
    return numbers(settled(client))


def subscribe(client: CableClient, stream: str, history: object) -> list[Any]:
    """A subscribe that carries history, and everything it brings."""
    client.send(command("subscribe", identifier(stream), history=history))
    return numbers(settled(client))


def settled(client: CableClient) -> list[dict[str, Any]]:
    """Everything up to the answer of a history request, and what stands right behind it."""
    seen = [client.message()]
    while seen[-1].get("type") not in ("confirm_history", "reject_history"):
        seen.append(client.message())
    return seen + client.fence()


# --- with the subscribe


def test_history_by_offset_follows_the_confirm(server: Server, client: CableClient, log: str) -> None:
    known = server.count(log, 0, 3)
    server.count(log, 3, 4)
    assert subscribe(client, log, at(log, known)) == ["confirm_subscription", 3, 4, 5, 6, "confirm_history"]
    server.publish(log, {"n": 7})
    assert client.message()["message"] == {"n": 7}


def test_replayed_frames_carry_the_triple(server: Server, client: CableClient, log: str) -> None:
    known = Position.of(server.count(log, 0, 1))
    server.count(log, 1, 2)
    client.send(command("subscribe", identifier(log), history=at(log, known)))
    data = [one for one in settled(client) if "message" in one]
    assert [(one["stream_id"], one["epoch"], one["offset"]) for one in data] == [
        (log, known.epoch, known.id + 1),
        (log, known.epoch, known.id + 2),
    ]


def test_nothing_missed_is_confirmed(server: Server, client: CableClient, log: str) -> None:
    head = server.count(log, 0, 3)
    assert subscribe(client, log, at(log, head)) == ["confirm_subscription", "confirm_history"]


def test_offset_0_of_an_empty_stream_is_servable(server: Server, client: CableClient, log: str) -> None:
    assert client.subscribe(identifier(log))["type"] == "confirm_subscription"
    client.send(command("unsubscribe", identifier(log)))
    empty = client.subscribe(identifier(log))["position"]
    client.send(command("unsubscribe", identifier(log)))
    assert subscribe(client, log, at(log, empty)) == ["confirm_subscription", "confirm_history"]
    server.publish(log, {"n": 0})
    assert client.message()["message"] == {"n": 0}


def test_since_now_the_first_time(server: Server, client: CableClient, log: str) -> None:
    """A whole second ago was before everything here: inclusive, of the server's clock."""
    now = time.time()
    server.count(log, 0, 2)
    assert subscribe(client, log, since(now)) == ["confirm_subscription", 0, 1, "confirm_history"]
    assert ask(client, log, since(time.time() + 60)) == ["confirm_history"]


def test_since_long_ago_brings_everything(server: Server, client: CableClient, log: str) -> None:
    server.count(log, 0, 5)
    assert subscribe(client, log, since(1)) == ["confirm_subscription", 0, 1, 2, 3, 4, "confirm_history"]


def test_since_over_max_replay_is_rejected(server: Server, client: CableClient, log: str) -> None:
    server.count(log, 0, 201)
    assert subscribe(client, log, since(1)) == ["confirm_subscription", "reject_history"]
    server.publish(log, {"n": "next"})
    assert client.message()["message"] == {"n": "next"}


def test_a_state_is_drawn_at_once_when_history_is_empty(
    server: Server, client: CableClient, state: str
) -> None:
    server.count(state, 0, 3)
    got = subscribe(client, state, since(time.time() + 60))
    assert sorted(map(str, got)) == ["2", "confirm_history", "confirm_subscription"]
    assert got[0] == "confirm_subscription"


def test_a_state_is_drawn_once_when_history_held_it(server: Server, client: CableClient, state: str) -> None:
    known = server.count(state, 0, 1)
    server.count(state, 1, 2)
    assert subscribe(client, state, at(state, known)) == ["confirm_subscription", 1, 2, "confirm_history"]


def test_a_state_that_was_current_stays_silent(server: Server, client: CableClient, state: str) -> None:
    """Known to be at the newest already: nothing is missing, so nothing may be doubled (§3)."""
    head = server.count(state, 0, 2)
    got = subscribe(client, state, at(state, head))
    assert got in (
        ["confirm_subscription", "confirm_history"],
        ["confirm_subscription", "confirm_history", 1],
    )


UNSERVABLE = [
    "another epoch",
    "the future",
    "a negative offset",
    "an offset as text",
    "a fraction",
    "no epoch",
    "huge",
]


@pytest.mark.parametrize("kind", ["log", "state"])
@pytest.mark.parametrize("what", UNSERVABLE)
def test_what_cannot_be_served_is_rejected_whole(
    servers: Servers, server: Server, client: CableClient, kind: str, what: str
) -> None:
    stream = servers.stream(server, kind)
    head = Position.of(server.count(stream, 0, 3))
    entries: dict[str, dict[str, Any]] = {
        "another epoch": {"epoch": "x" + head.epoch, "offset": 1},
        "the future": {"epoch": head.epoch, "offset": 4},
        "a negative offset": {"epoch": head.epoch, "offset": -1},
        "an offset as text": {"epoch": head.epoch, "offset": "1"},
        "a fraction": {"epoch": head.epoch, "offset": 1.5},
        "no epoch": {"offset": 1},
        "huge": {"epoch": head.epoch, "offset": 10**30},
    }
    got = subscribe(client, stream, {"streams": {stream: entries[what]}})
    assert got == ["confirm_subscription", "reject_history", *([2] if kind == "state" else [])]
    server.publish(stream, {"n": 3})
    assert client.message()["message"] == {"n": 3}


def test_too_far_behind_is_rejected_whole(server: Server, client: CableClient, log: str) -> None:
    known = Position.of(server.count(log, 0, 1))
    server.count(log, 1, 201)
    assert subscribe(client, log, at(log, known)) == ["confirm_subscription", "reject_history"]
    assert ask(client, log, at(log, known)) == ["reject_history"]
    assert ask(client, log, at(log, known.plus(1)))[-1] == "confirm_history"


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


# --- as a command


def test_the_history_command_replays_and_confirms(server: Server, client: CableClient, log: str) -> None:
    client.subscribe(identifier(log))
    first = Position.of(server.publish(log, {"n": 0}))
    server.count(log, 1, 4)
    assert [client.message()["message"]["n"] for _ in range(5)] == [0, 1, 2, 3, 4]
    assert ask(client, log, at(log, first.plus(1))) == [2, 3, 4, "confirm_history"]
    server.publish(log, {"n": 5})
    assert client.message()["message"] == {"n": 5}


def test_by_offset_wins_over_by_time(server: Server, client: CableClient, log: str) -> None:
    client.subscribe(identifier(log))
    known = server.count(log, 0, 3)
    server.count(log, 3, 1)
    assert [client.message()["message"]["n"] for _ in range(4)] == [0, 1, 2, 3]
    assert ask(client, log, at(log, known, since=1)) == [3, "confirm_history"]


def test_the_history_command_is_rejected_whole(server: Server, client: CableClient, log: str) -> None:
    client.subscribe(identifier(log))
    head = Position.of(server.count(log, 0, 3))
    assert [client.message()["message"]["n"] for _ in range(3)] == [0, 1, 2]
    assert ask(client, log, at(log, Position("x" + head.epoch, 1))) == ["reject_history"]
    assert ask(client, log, at(log, head.plus(1))) == ["reject_history"]


@pytest.mark.parametrize(
    "history",
    [None, 5, "since", [], {}, {"since": "now"}, {"since": -1}, {"since": 1e300}, {"since": None, "streams": {}},
     {"streams": []}, {"streams": {"log0": 5}}, {"streams": {"no_such_stream": {"epoch": "x", "offset": 1}}}],
)  # fmt: skip
def test_odd_history_never_ends_a_socket(
    server: Server, client: CableClient, log: str, history: object
) -> None:
    client.subscribe(identifier(log))
    client.send(command("history", identifier(log), history=history))
    client.send(command("history", identifier(log)))
    client.send(command("subscribe", identifier(log, n=2), history=history))
    kinds = {one.get("type") for one in client.fence()}
    assert kinds <= {"confirm_subscription", "confirm_history", "reject_history"}
    server.publish(log, {"n": 0})
    got = {client.message()["identifier"] for _ in range(2)}
    assert got == {identifier(log), identifier(log, n=2)}


def test_history_of_an_unknown_identifier_is_counted(server: Server, client: CableClient, log: str) -> None:
    before = server.metric("ignored_total", reason="unknown_identifier")
    client.send(command("history", identifier(log), history=since(1)))
    assert client.fence() == []
    assert server.metric("ignored_total", reason="unknown_identifier") == before + 1


def test_history_on_a_rejected_subscribe_is_skipped(client: CableClient) -> None:
    client.send(command("subscribe", identifier("no_such_stream"), history=since(1)))
    assert client.message()["type"] == "reject_subscription"
    assert client.fence() == []


def test_live_updates_never_overtake_the_replay(server: Server, client: CableClient, log: str) -> None:
    """@anycable/core keeps the position of the last frame: older frames after newer ones would set it back."""
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
