"""Cable commands over a socket (protocol §2): identifiers, data frames, malformed input, pings.

Which answer a command gets is held by tests/transports/cable.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.cable import BINARY, EXT, TEXT, CableClient, command, frame, identifier
from tests.live.server import Server
from tests.live.wire import until


@pytest.fixture
def client(server: Server) -> Iterator[CableClient]:
    with CableClient(server.address, (EXT,)) as opened:
        opened.welcome()
        yield opened


# --- subscribe

OPAQUE = [
    '{{"channel":"DashboardUpdatesChannel","stream":"{0}"}}',
    '{{"stream":"{0}","channel":"DashboardUpdatesChannel"}}',
    ' {{ "channel" : "DashboardUpdatesChannel" ,\t"stream":"{0}" }}\n',
    '{{"channel":"Dashboard\\u0055pdatesChannel","stream":"{0}","\\u00e9":"\\/"}}',
    '{{"channel":"DashboardUpdatesChannel","stream":"{0}","room":17,"deep":{{"a":[null,true,1e3]}}}}',
    '{{"channel":"DashboardUpdatesChannel","stream":"{0}","text":"é€😀\u2028 \\"quoted\\" \x7f"}}',
    '{{"channel":"$pubsub","stream_name":"{0}"}}',
    '{{"stream_name":"{0}","channel":"$pubsub","more":[]}}',
]


def test_identifiers_are_opaque_and_come_back_unchanged(
    server: Server, client: CableClient, log: str
) -> None:
    """Each text is a subscription of its own, with its own copy of every update."""
    names = [text.format(log) for text in OPAQUE]
    for name in names:
        assert client.subscribe(name)["type"] == "confirm_subscription"
    server.publish(log, {"n": 0})
    server.publish(log, {"n": 1})
    got = [client.message() for _ in range(2 * len(names))]
    for name in names:
        assert [message["message"]["n"] for message in got if message["identifier"] == name] == [0, 1]
    assert client.fence() == []


def test_a_rejection_echoes_the_identifier_and_the_socket_stays(client: CableClient, log: str) -> None:
    for name in ('{"channel":"ChatChannel"}', "not json", identifier("no_such_stream"), '"é\u2028\\u0000"'):
        client.send(command("subscribe", name))
        assert client.message() == {"identifier": name, "type": "reject_subscription"}
    assert client.subscribe(identifier(log))["type"] == "confirm_subscription"


def test_the_33rd_subscription_is_rejected(client: CableClient, log: str) -> None:
    names = [identifier(log, n=n) for n in range(34)]
    assert {client.subscribe(name)["type"] for name in names[:32]} == {"confirm_subscription"}
    assert client.subscribe(names[32])["type"] == "reject_subscription"
    assert client.subscribe(names[0])["type"] == "confirm_subscription", "a duplicate takes no place"
    client.send(command("unsubscribe", names[5]))
    assert client.subscribe(names[33])["type"] == "confirm_subscription", "an unsubscribe frees a place"


def test_duplicates_in_one_segment_are_one_subscription(
    server: Server, client: CableClient, log: str
) -> None:
    """The stock client sends a subscribe again every 500 ms: however many come, each update comes once."""
    known = server.count(log, 0, 1)
    server.count(log, 1, 150)  # more than TAIL_SIZE: the replay has to read the database first
    text = command("subscribe", identifier(log), last_event_id=known)
    client.wire.send(frame(TEXT, text) * 3)
    got: list[Any] = []
    while len([one for one in got if "message" in one]) < 150:
        got.append(client.message())
    got += client.fence()
    assert [one["message"]["n"] for one in got if "message" in one] == list(range(1, 151))
    assert got[0]["type"] == "confirm_subscription"
    assert 1 <= len([one for one in got if one.get("type") == "confirm_subscription"]) <= 3


# --- data frames

VALUES = [{"a": 1}, [1, [2]], "text", '{"a":1}', '"\\"', "", 0, -1.5e300, True, None, {"type": "ping"},
          "é€😀\u2028\u0000"]  # fmt: skip


def test_any_json_stays_what_it_is(server: Server, client: CableClient, log: str) -> None:
    client.subscribe(identifier(log))
    for value in VALUES:
        server.publish(log, value)
    assert [client.message()["message"] for _ in VALUES] == VALUES


def test_the_text_of_a_message_is_unchanged(server: Server, client: CableClient, log: str) -> None:
    text = '{ "b":1.50,\t"a" : [ 1E2 ,"\\u00e9\\n\\/é€😀\u2028" ],"a":0 }'
    client.subscribe(identifier(log))
    assert server.api().post(log, text.encode(), {})[0] == 201
    got = client.text()
    while got.startswith('{"type":"ping"'):
        got = client.text()
    assert text in got


# --- pings


def test_pings_are_whole_rising_seconds(server: Server) -> None:
    with CableClient(server.address) as opened:
        opened.welcome()
        pings = [opened.message(pings=True)]
        while pings[-1]["message"] <= pings[0]["message"]:
            pings.append(opened.message(pings=True))
    assert all(ping.keys() == {"type", "message"} and ping["type"] == "ping" for ping in pings)
    times = [ping["message"] for ping in pings]
    assert all(isinstance(time, int) for time in times)
    assert times == sorted(times)


# --- malformed input

MALFORMED = ["not json", "", "[" * 5000, "[" * 400 + "]" * 400, '\ufeff{"command":"pong"}', "null", "{}",
             '{"command":["subscribe"]}', '{"command":"nope"}', '{"command":"subscribe","identifier":null}',
             '{"command":"unsubscribe","identifier":"{}"}']  # fmt: skip


def test_malformed_input_is_counted_and_ignored(server: Server, client: CableClient, log: str) -> None:
    client.subscribe(identifier(log))
    before = server.metric("ignored_total")
    for text in MALFORMED:
        client.send(text)
    assert client.fence() == []
    assert server.metric("ignored_total") == before + len(MALFORMED)
    before = server.metric("ignored_total", reason="binary")
    for payload in (b"", b"\x00\xff\xfe", command("subscribe", identifier(log)).encode(), b"x" * 65536):
        client.wire.send(frame(BINARY, payload))
    assert client.fence() == []
    assert server.metric("ignored_total", reason="binary") == before + 4
    server.publish(log, {"n": 0})
    assert client.message()["message"] == {"n": 0}, "the subscription stays"


def test_unknown_keys_are_ignored(client: CableClient, log: str) -> None:
    name = identifier(log)
    client.send(
        json.dumps({"x": 1, "command": "subscribe", "identifier": name, "y": {"command": "nope"}, "z": None})
    )
    assert client.message()["type"] == "confirm_subscription"


def test_a_client_that_left_is_forgotten(server: Server, log: str) -> None:
    for end in ("close", "reset"):
        with CableClient(server.address) as opened:
            opened.welcome()
            opened.subscribe(identifier(log))
            until(lambda: server.connections("cable") == 1, "it is counted")
            getattr(opened.wire, end)()
        until(lambda: server.connections("cable") == 0, f"{end} is noticed")
