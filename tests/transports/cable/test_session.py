"""cable_session: commands to frames (docs/protocol.md §2)."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

import pytest

from dashboard_rt.hub.resume import MAX_LOOKUPS
from dashboard_rt.transports.cable import session as session_module
from dashboard_rt.transports.cable.session import MAX_SUBSCRIPTIONS, TicketedSession
from tests.cable_world import LOG, STATE, STREAM, World, settle, simulate
from tests.simulation import FakeTransport


def offsets(frames: list[Any]) -> list[int]:
    return [frame["offset"] for frame in frames if "offset" in frame]


def kinds(frames: list[Any]) -> list[str]:
    """The type of each frame; of a data frame its offset."""
    return [str(frame.get("type", frame.get("offset", "answer"))) for frame in frames]


# ---- subscribing


def test_a_subscribe_is_confirmed_with_its_verdict_and_the_newest_state_follows() -> None:
    async def work(world: World) -> None:
        world.publish(STREAM, 3)
        confirm, update = world.connect().say("subscribe")
        assert confirm == {
            "identifier": STATE,
            "type": "confirm_subscription",
            "verdict": "fresh",
            "position": "e1-2",
        }
        assert update == {
            "identifier": STATE,
            "message": {"n": 3, "pad": "xxx"},
            "stream_id": STREAM,
            "epoch": "e1",
            "offset": 3,
        }

    simulate(work)


def test_on_the_base_protocol_frames_carry_no_place_but_ours_may_resume() -> None:
    async def work(world: World) -> None:
        world.publish("events", 5)
        client = world.connect(ext=False)
        confirm, *updates = client.say("subscribe", LOG, last_event_id="e1-3")
        assert (confirm["verdict"], confirm["position"]) == ("recovered", "e1-3")
        assert updates == [
            {"identifier": LOG, "message": {"n": 4, "pad": "xxxx"}},
            {"identifier": LOG, "message": {"n": 5, "pad": "xxxxx"}},
        ]

    simulate(work)


@pytest.mark.parametrize("name", ["lastEventId", "Last-Event-ID", "last-event-id", "lasteventid"])
def test_the_name_of_the_position_is_read_in_any_spelling(name: str) -> None:
    async def work(world: World) -> None:
        world.publish("events", 5)
        confirm, *updates = world.connect().say("subscribe", LOG, **{name: "e1-3"})
        assert (confirm["verdict"], confirm["position"]) == ("recovered", "e1-3")
        assert offsets(updates) == [4, 5]

    simulate(work)


@pytest.mark.parametrize("position", ["nonsense", "e0-1", "e1-9", 7, {}])
def test_a_position_that_cannot_be_served_is_a_gap(position: object) -> None:
    async def work(world: World) -> None:
        world.publish(STREAM, 3)
        client = world.connect()
        client.say("subscribe", last_event_id=position)
        await settle()
        fresh = world.connect()
        frames = fresh.say("subscribe", last_event_id=position)
        await settle()
        frames += fresh.hear()
        assert (frames[0]["verdict"], frames[0]["position"]) == ("gap", "e1-2")
        assert offsets(frames) == [3]

    simulate(work)


def test_two_identifiers_are_two_subscriptions() -> None:
    async def work(world: World) -> None:
        client = world.connect()
        other = '{"channel": "DashboardUpdatesChannel"}'
        client.say("subscribe", STATE)
        client.say("subscribe", other)
        world.publish(STREAM, 1)
        assert sorted(frame["identifier"] for frame in client.hear()) == sorted([STATE, other])
        client.say("unsubscribe", other)
        world.publish(STREAM, 1)
        assert [frame["identifier"] for frame in client.hear()] == [STATE]

    simulate(work)


def test_a_duplicate_is_confirmed_again_and_nothing_else() -> None:
    async def work(world: World) -> None:
        world.publish(STREAM, 1)
        client = world.connect()
        client.say("subscribe")
        assert client.say("subscribe") == [{"identifier": STATE, "type": "confirm_subscription"}]

    simulate(work)


def test_while_the_first_is_pending_one_confirm_answers_both() -> None:
    async def work(world: World) -> None:
        world.publish("events", 2)
        ahead = world.log.append("events", 2)  # which this process has not heard of
        client = world.connect()
        assert client.say("subscribe", LOG, last_event_id="e1-3") == []
        assert client.say("subscribe", LOG, last_event_id="e1-3") == []
        await settle()
        assert kinds(client.hear()) == ["confirm_subscription", "4"]
        assert ahead.last_id == 4

    simulate(work)


@pytest.mark.parametrize(
    "identifier",
    [
        '{"channel":"ChatChannel"}',
        '{"channel":"$pubsub","stream_name":"unknown"}',
        '{"channel":"DashboardUpdatesChannel","stream":7}',
        "nonsense",
        '{"channel":"DashboardUpdatesChannel","pad":"%s"}' % ("x" * 1024),
    ],
)
def test_what_cannot_be_subscribed_is_rejected(identifier: str) -> None:
    async def work(world: World) -> None:
        client = world.connect()
        client.session.on_text(json.dumps({"command": "subscribe", "identifier": identifier}))
        line = client.transport.buffer
        assert json.loads(line) == {"identifier": identifier, "type": "reject_subscription"}
        assert world.telemetry.value("rejected", transport="cable", reason="unknown_channel") == 1

    simulate(work)


def test_a_33rd_subscription_is_rejected() -> None:
    async def work(world: World) -> None:
        client = world.connect()
        identifiers = [json.dumps({"channel": "DashboardUpdatesChannel", "n": n}) for n in range(33)]
        answers = [client.say("subscribe", identifier)[0]["type"] for identifier in identifiers]
        assert answers == ["confirm_subscription"] * MAX_SUBSCRIPTIONS + ["reject_subscription"]
        client.say("unsubscribe", identifiers[0])
        assert kinds(client.say("subscribe", identifiers[-1])) == ["confirm_subscription"]

    simulate(work)


def own(number: int) -> str:
    return json.dumps({"channel": "DashboardUpdatesChannel", "number": number})


def test_identifiers_of_their_own_are_bounded_for_all_clients_together() -> None:
    async def work(world: World) -> None:
        greedy, modest = world.connect(), world.connect()
        room = 2 + 3  # one for each client, and what is extra
        answers = [greedy.say("subscribe", own(number))[0]["type"] for number in range(8)]
        assert answers == ["confirm_subscription"] * room + ["reject_subscription"] * (8 - room)
        assert world.telemetry.value("rejected", transport="cable", reason="too_many_identifiers") == 3
        assert kinds(modest.say("subscribe", own(99))) == ["reject_subscription"]
        # what costs no encoding, and what only names a stream, is never refused for it
        assert kinds(modest.say("subscribe", own(1))) == ["confirm_subscription"]
        plain = [STATE, LOG, '{"stream":"events","channel":"DashboardUpdatesChannel"}']
        assert [kinds(modest.say("subscribe", each)) for each in plain] == [["confirm_subscription"]] * 3
        greedy.say("unsubscribe", own(2))
        greedy.session.lost("lost")
        assert len(world.process.wires) == 4
        assert kinds(modest.say("subscribe", own(99))) == ["reject_subscription"]
        modest.say("unsubscribe", LOG)
        assert kinds(modest.say("subscribe", own(99))) == ["confirm_subscription"]
        modest.session.lost("lost")
        assert len(world.process.wires) == 0

    with patch.object(session_module, "EXTRA_IDENTIFIERS", 3):
        simulate(work)


# ---- the other commands


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense", "bad_json"),
        ('{"command":"dance","identifier":"I"}', "unknown_command"),
        ('{"command":"subscribe"}', "missing_identifier"),
        ('{"command":"unsubscribe","identifier":"I"}', "unknown_identifier"),
        ('{"command":"message","identifier":"I","data":"{}"}', "unknown_identifier"),
        ('{"command":"history","identifier":"I"}', "unknown_identifier"),
    ],
)
def test_malformed_input_is_counted_and_ignored(text: str, reason: str) -> None:
    async def work(world: World) -> None:
        client = world.connect()
        client.session.on_text(text)
        client.session.on_binary()
        assert client.hear() == []
        assert (world.ignored(reason), world.ignored("binary")) == (1, 1)
        assert client.say("ping", None) == [{"type": "pong"}]
        assert client.say("pong", None) == []
        assert world.telemetry.value("commands", command="ping") == 1

    simulate(work)


def test_refresh_answers_with_the_newest_state_without_its_place() -> None:
    async def work(world: World) -> None:
        world.publish(STREAM, 2)
        client = world.connect()
        client.say("subscribe")
        assert client.say("message", data='{"action":"refresh"}') == [
            {"identifier": STATE, "message": {"n": 2, "pad": "xx"}}
        ]
        client.say("subscribe", LOG)
        world.publish("events", 1)
        client.hear()
        assert client.say("message", LOG, data='{"action":"refresh"}') == []  # a log has no newest state
        assert client.say("message", data="{}") == []
        assert client.say("message", data=None) == []
        assert (world.ignored("unknown_action"), world.ignored("bad_data")) == (1, 1)

    simulate(work)


def test_refresh_waits_until_the_subscription_is_current() -> None:
    async def work(world: World) -> None:
        world.publish(STREAM, 3)
        ahead = world.log.append(STREAM, 1)
        client = world.connect()
        client.say("subscribe", last_event_id="e1-4")
        assert client.say("message", data='{"action":"refresh"}') == []
        await settle()
        assert kinds(client.hear()) == ["confirm_subscription", "answer"]
        assert ahead.last_id == 4

    simulate(work)


# ---- history


def entry(offset: object, epoch: object = "e1", stream: str = "events") -> dict[str, object]:
    return {"streams": {stream: {"epoch": epoch, "offset": offset}}}


def test_a_subscribe_with_history_replays_and_confirms_it() -> None:
    async def work(world: World) -> None:
        world.publish("events", 5)
        frames = world.connect().say("subscribe", LOG, history=entry(2))
        assert kinds(frames) == ["confirm_subscription", "3", "4", "5", "confirm_history"]
        assert frames[-1] == {"type": "confirm_history", "identifier": LOG}

    simulate(work)


@pytest.mark.parametrize(
    "history", [entry(9), entry(2, "e0"), entry(2, stream="other"), entry("2"), entry(0)]
)
def test_a_history_that_cannot_be_served_is_rejected_whole_and_the_newest_state_follows(
    history: dict[str, object],
) -> None:
    async def work(world: World) -> None:
        world.publish("events", 5)
        world.publish(STREAM, 5)
        world.log.trim("events", 3)
        await world.process.follower.refresh()
        client = world.connect()
        frames = client.say("subscribe", LOG, history=history)
        await settle()
        frames += client.hear()
        assert kinds(frames) == ["confirm_subscription", "reject_history"]
        client = world.connect()
        frames = client.say("subscribe", STATE, history=entry(2, "e0", STREAM))
        assert kinds(frames) == ["confirm_subscription", "reject_history", "5"]

    simulate(work)


def test_history_on_the_base_protocol_is_no_word() -> None:
    async def work(world: World) -> None:
        world.publish("events", 3)
        client = world.connect(ext=False)
        assert kinds(client.say("subscribe", LOG, history=entry(1))) == ["confirm_subscription"]
        assert client.say("history", LOG, history=entry(1)) == []
        assert world.ignored("unknown_command") == 1

    simulate(work)


def test_a_history_command_replays_to_one_that_stands() -> None:
    async def work(world: World) -> None:
        world.publish("events", 4)
        client = world.connect()
        client.say("subscribe", LOG)
        assert kinds(client.say("history", LOG, history=entry(2))) == ["3", "4", "confirm_history"]
        assert kinds(client.say("history", LOG, history=entry(4))) == ["confirm_history"]
        assert kinds(client.say("history", LOG, history=entry(2, "e0"))) == ["reject_history"]
        assert client.say("history", LOG, history={}) == []
        assert world.ignored("bad_history") == 1

    simulate(work)


def test_a_history_ahead_of_this_process_is_looked_up_first() -> None:
    async def work(world: World) -> None:
        world.publish("events", 2)
        client = world.connect()
        client.say("subscribe", LOG)
        ahead = world.log.append("events", 2)
        assert client.say("history", LOG, history=entry(3)) == []
        await settle()
        assert offsets(client.hear())[-1] == ahead.last_id
        assert world.telemetry.value("gaps", transport="cable") == 0

    simulate(work)


@pytest.mark.parametrize("when", ["now", "before"])
def test_history_since_a_second_replays_all_of_it(when: str) -> None:
    async def work(world: World) -> None:
        world.publish(STREAM, 2)
        world.log.seconds += 1
        if when == "before":
            world.publish(STREAM, 2)
        client = world.connect()
        client.say("subscribe", history={"since": 2, "streams": {}})
        await settle()
        # the newest follows unless the replay held it, once either way
        told = {"now": ["confirm_history", "2"], "before": ["3", "4", "confirm_history"]}[when]
        assert kinds(client.hear()) == ["confirm_subscription", *told]

    simulate(work)


def test_the_newest_is_not_repeated_when_an_update_came_first() -> None:
    async def work(world: World) -> None:
        world.publish(STREAM, 2)
        world.log.seconds += 1
        client = world.connect()
        client.session.paused = True  # its buffer is full at that moment
        client.say("subscribe", history={"since": 2, "streams": {}})
        client.session.paused = True
        await settle()
        world.publish(STREAM, 1)
        client.session.resume_writing()
        assert offsets(client.hear()) == [3]

    simulate(work)


def test_since_a_time_that_the_log_no_longer_holds_is_fresh_and_rejected() -> None:
    async def work(world: World) -> None:
        world.publish(STREAM, 9)
        world.log.trim(STREAM, 3)
        client = world.connect()
        client.say("subscribe", history={"since": 0, "streams": {}})
        await settle()
        frames = client.hear()
        assert kinds(frames) == ["confirm_subscription", "reject_history", "9"]
        assert frames[0]["verdict"] == "fresh"

    simulate(work)


def test_since_now_is_served_though_this_process_is_behind_the_log() -> None:
    async def work(world: World) -> None:
        world.publish(STREAM, 2)
        world.log.append(STREAM, 2)
        world.log.seconds += 1
        client = world.connect()
        client.say("subscribe", history={"since": 2, "streams": {}})
        await settle()
        frames = client.hear()
        assert kinds(frames) == ["confirm_subscription", "confirm_history", "4"]
        assert frames[0]["verdict"] == "recovered"

    simulate(work)


def test_a_log_that_is_away_gives_since_a_verdict_all_the_same() -> None:
    async def work(world: World) -> None:
        world.publish(STREAM, 2)
        world.log.broken = True
        client = world.connect()
        client.say("subscribe", history={"since": 1, "streams": {}})
        await settle()
        assert kinds(client.hear()) == ["confirm_subscription", "reject_history", "2"]

    simulate(work)


def test_a_flood_of_questions_to_the_log_is_answered_from_memory() -> None:
    async def work(world: World) -> None:
        world.publish("events", 2)
        client = world.connect()
        client.say("subscribe", LOG)
        for _ in range(500):
            client.say("history", LOG, history={"since": 1, "streams": {}})
        assert len(world.process.hub._resumer._tasks) <= 64
        await settle()
        assert world.telemetry.value("log_reads", why="since") <= 64
        assert not world.process.hub._resumer._questions

    simulate(work)


def test_equal_questions_to_the_log_are_answered_once_and_others_are_bounded_for_all_clients() -> None:
    async def work(world: World) -> None:
        world.publish("events", 2)
        clients = [world.connect() for _ in range(20)]
        for client in clients:
            client.say("subscribe", LOG)
            client.say("history", LOG, history={"since": 1, "streams": {}})
        await settle()
        assert world.telemetry.value("log_reads", why="since") == 1
        for client in clients:
            assert offsets(client.hear()) == [1, 2]
        for number, client in enumerate(clients):
            for since in range(40):
                client.say("history", LOG, history={"since": 100 * number + since, "streams": {}})
        assert world.telemetry.value("rejected", transport="cable", reason="history") == 20 * 40 - MAX_LOOKUPS
        await settle(1000)
        assert world.telemetry.value("log_reads", why="since") == 1 + MAX_LOOKUPS
        assert not world.process.hub._resumer._lookups

    simulate(work)


# ---- the end


def test_one_that_fell_too_far_behind_is_told_to_come_back() -> None:
    async def work(world: World) -> None:
        client = world.connect()
        client.say("subscribe", LOG)
        for _ in range(5):
            world.publish("events", 9)
        assert client.session.paused
        client.transport.read(10_000)
        last = json.loads(client.transport.buffer.splitlines()[-1] or b"{}")
        assert (last["type"], last["reason"], last["reconnect"]) == ("disconnect", "too_slow", True)
        assert 1000 <= last["retry_in"] <= 5000
        assert client.transport.closed

    simulate(work, MAX_REPLAY="5")


@pytest.mark.parametrize(
    ("reason", "code", "reconnect"),
    [("server_restart", 1001, True), ("full", 1000, True), ("unauthorized", 1000, False)],
)
def test_the_goodbye_is_a_disconnect_and_a_close(reason: str, code: int, reconnect: bool) -> None:
    async def work(world: World) -> None:
        client = world.connect()
        codes: list[int | None] = []

        class Link(FakeTransport):
            def close(self, code: int | None = None) -> None:
                codes.append(code)
                client.session.on_closing()

        client.session.socket = Link()
        client.say("subscribe")
        client.session.goodbye(reason, 1500)
        client.session.goodbye(reason, 1500)
        client.session.send_heartbeat()
        world.publish(STREAM, 1)
        more = {"retry_in": 1500} if reconnect else {}
        told = {"type": "disconnect", "reason": reason, "reconnect": reconnect, **more}
        assert (client.hear(), codes) == ([told], [code])

    simulate(work)


def test_a_ticket_for_some_streams_opens_no_other() -> None:
    async def work(world: World) -> None:
        parts = world.process
        session = TicketedSession(
            parts.connections, parts.wires, world.telemetry, True, False, streams=frozenset({"events"})
        )
        client = world.connect(session=session)
        assert client.say("subscribe", LOG)[0]["type"] == "confirm_subscription"
        assert client.say("subscribe", STATE) == [{"identifier": STATE, "type": "reject_subscription"}]
        assert world.telemetry.value("rejected", transport="cable", reason="foreign_stream") == 1

    simulate(work)
