"""Protocol §2, commands: subscribe and its answers, identifiers as opaque text, perform, ping, malformed input."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.live.cable import BINARY, EXT, TEXT, V1, CableClient, command, frame, identifier
from tests.live.conftest import Servers
from tests.live.followers import Position
from tests.live.server import Server
from tests.live.wire import until


@pytest.fixture(params=[V1, EXT], ids=["v1", "ext"])
def protocol(request: pytest.FixtureRequest) -> str:
    value: str = request.param
    return value


@pytest.fixture
def client(server: Server, protocol: str) -> Any:
    with CableClient(server.address, (protocol,)) as opened:
        opened.welcome()
        yield opened


# --- subscribe


def test_the_confirm_says_verdict_and_position(server: Server, client: CableClient, log: str) -> None:
    head = server.put(log, {"n": 0})
    answer = client.subscribe(identifier(log))
    assert answer.pop("identifier") == identifier(log)
    assert answer.pop("type") == "confirm_subscription"
    assert (answer["verdict"], answer["position"]) == ("fresh", head)


def test_data_frames(server: Server, client: CableClient, log: str, protocol: str) -> None:
    client.subscribe(identifier(log))
    position = Position.of(server.publish(log, {"n": 0}))
    wanted: dict[str, Any] = {"identifier": identifier(log), "message": {"n": 0}}
    if protocol == EXT:
        wanted |= {"stream_id": log, "epoch": position.epoch, "offset": position.id}
    assert client.message() == wanted


VALUES = [
    {"a": 1},
    [1, [2]],
    "text",
    '{"a":1}',
    '"\\"',
    "",
    0,
    -1.5e300,
    True,
    None,
    {"type": "ping"},
    "é€😀\u2028\u0000",
]


def test_any_json_stays_what_it_is(server: Server, client: CableClient, log: str) -> None:
    client.subscribe(identifier(log))
    for value in VALUES:
        server.publish(log, value)
    assert [client.message()["message"] for _ in VALUES] == VALUES


def test_the_text_of_a_message_is_untouched(server: Server, client: CableClient, log: str) -> None:
    text = '{ "b":1.50,\t"a" : [ 1E2 ,"\\u00e9\\n\\/é€😀\u2028" ],"a":0 }'
    client.subscribe(identifier(log))
    assert server.api().post(log, text.encode(), {})[0] == 201
    told = client.text()
    while told.startswith('{"type":"ping"'):
        told = client.text()
    assert text in told


def test_the_default_stream_is_the_dashboard(server: Server, client: CableClient) -> None:
    position = server.put("dashboard_updates", {"n": 1})
    assert client.subscribe('{"channel":"DashboardUpdatesChannel"}')["verdict"] == "fresh"
    assert client.message()["message"] == {"n": 1}
    assert Position.of(position).id >= 1


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
        assert [frame["message"]["n"] for frame in got if frame["identifier"] == name] == [0, 1]
    assert client.fence() == []


@pytest.mark.parametrize(
    "refused",
    [
        "{}",
        "[]",
        "5",
        "null",
        '""',
        "not json",
        '{"channel":"ChatChannel"}',
        '{"channel":null}',
        '{"channel":["DashboardUpdatesChannel"]}',
        '{"channel":"dashboardupdateschannel"}',
        '{"channel":"DashboardUpdatesChannel","stream":"no_such_stream"}',
        '{"channel":"DashboardUpdatesChannel","stream":5}',
        '{"channel":"DashboardUpdatesChannel","stream":["log0"]}',
        '{"channel":"$pubsub"}',
        '{"channel":"$pubsub","stream_name":"no_such_stream"}',
        '{"channel":"$pubsub","stream_name":{"a":1}}',
        '{"channel":"DashboardUpdatesChannel"',
    ],
)
def test_what_cannot_be_subscribed_is_rejected(
    server: Server, client: CableClient, log: str, refused: str
) -> None:
    client.send(command("subscribe", refused))
    assert client.message() == {"identifier": refused, "type": "reject_subscription"}
    assert client.subscribe(identifier(log))["type"] == "confirm_subscription", "the socket goes on"


def test_an_identifier_of_1_kib_and_one_more(client: CableClient, log: str) -> None:
    empty = len(identifier(log, pad=""))
    fits, over = (identifier(log, pad="x" * (size - empty)) for size in (1024, 1025))
    assert (len(fits), len(over)) == (1024, 1025)
    assert client.subscribe(fits)["type"] == "confirm_subscription"
    assert client.subscribe(over) == {"identifier": over, "type": "reject_subscription"}


def test_the_33rd_subscription_is_rejected(client: CableClient, log: str) -> None:
    names = [identifier(log, n=n) for n in range(34)]
    assert {client.subscribe(name)["type"] for name in names[:32]} == {"confirm_subscription"}
    assert client.subscribe(names[32])["type"] == "reject_subscription"
    assert client.subscribe(names[0])["type"] == "confirm_subscription", "a duplicate takes no place"
    client.send(command("unsubscribe", names[5]))
    assert client.subscribe(names[33])["type"] == "confirm_subscription", "a place became free"


def test_a_duplicate_subscribe_is_confirmed_again_and_nothing_else(
    server: Server, client: CableClient, state: str
) -> None:
    server.put(state, {"n": 0})
    client.subscribe(identifier(state))
    assert client.message()["message"] == {"n": 0}
    assert client.subscribe(identifier(state))["type"] == "confirm_subscription"
    assert client.fence() == [], "no second newest"
    server.publish(state, {"n": 1})
    assert client.message()["message"] == {"n": 1}
    assert client.fence() == [], "one copy"


def test_duplicates_while_the_first_is_pending(server: Server, client: CableClient, log: str) -> None:
    """The stock client re-sends every 500 ms: however many come, each update comes once."""
    known = server.count(log, 0, 1)
    server.count(log, 1, 150)  # below the Tail: the replay has to read the log first
    text = command("subscribe", identifier(log), last_event_id=known)
    client.wire.send(frame(TEXT, text) * 3)
    got: list[Any] = []
    while len([one for one in got if "message" in one]) < 150:
        got.append(client.message())
    got += client.fence()
    assert [one["message"]["n"] for one in got if "message" in one] == list(range(1, 151))
    assert got[0]["type"] == "confirm_subscription"
    assert 1 <= len([one for one in got if one.get("type") == "confirm_subscription"]) <= 3


# --- unsubscribe


def test_unsubscribe_ends_one_and_leaves_the_others(server: Server, client: CableClient, log: str) -> None:
    one, two = identifier(log, n=1), identifier(log, n=2)
    client.subscribe(one)
    client.subscribe(two)
    client.send(command("unsubscribe", one))
    assert client.fence() == [], "no answer exists"
    server.publish(log, {"n": 0})
    assert client.message()["identifier"] == two
    assert client.fence() == []
    assert client.subscribe(one)["verdict"] == "fresh"
    server.publish(log, {"n": 1})
    assert {client.message()["identifier"] for _ in range(2)} == {one, two}


def test_a_rejected_identifier_is_no_subscription(server: Server, client: CableClient) -> None:
    before = server.metric("ignored_total")
    client.subscribe('{"channel":"ChatChannel"}')
    client.send(command("message", '{"channel":"ChatChannel"}', data='{"action":"refresh"}'))
    client.send(command("unsubscribe", '{"channel":"ChatChannel"}'))
    assert client.fence() == []
    assert server.metric("ignored_total") == before + 2


# --- perform


def test_refresh_answers_with_the_newest_of_a_state(server: Server, client: CableClient, state: str) -> None:
    name = identifier(state)
    server.put(state, {"n": 0})
    client.subscribe(name)
    assert client.message()["message"] == {"n": 0}
    client.send(command("message", name, data='{"action":"refresh"}'))
    assert client.message() == {"identifier": name, "message": {"n": 0}}, "without the ext triple"
    assert client.fence() == []


def test_refresh_of_an_empty_state_says_nothing(client: CableClient, state: str) -> None:
    client.subscribe(identifier(state))
    client.send(command("message", identifier(state), data='{"action":"refresh"}'))
    assert client.fence() == []


@pytest.mark.parametrize(
    "data",
    [
        '{"action":"speak"}',
        "{}",
        "[]",
        "not json",
        '"refresh"',
        '{"action":5}',
        '{"action":null}',
        5,
        None,
        {},
    ],
)
def test_other_actions_do_nothing(server: Server, client: CableClient, state: str, data: object) -> None:
    client.subscribe(identifier(state))
    client.send(command("message", identifier(state), data=data))
    client.send(command("message", identifier(state)))
    assert client.fence() == []
    server.publish(state, {"n": 0})
    assert client.message()["message"] == {"n": 0}


# --- pings


def test_pings_are_whole_rising_seconds(servers: Servers, handover: str) -> None:
    server = servers.get(HANDOVER=handover, CABLE_PING="2")
    with CableClient(server.address) as opened:
        opened.welcome()
        pings = [opened.message(pings=True) for _ in range(3)]
    assert all(ping.keys() == {"type", "message"} and ping["type"] == "ping" for ping in pings)
    times = [ping["message"] for ping in pings]
    assert all(isinstance(time, int) for time in times)
    assert times[0] < times[1] < times[2]


def test_ping_and_pong_of_the_extended_protocol(server: Server) -> None:
    before = server.metric("ignored_total")
    with CableClient(server.address, (EXT,)) as opened:
        opened.welcome()
        opened.send(command("pong"))
        opened.send(command("ping"))
        assert opened.message() == {"type": "pong"}
        assert opened.fence() == []
    assert server.metric("ignored_total") == before


# --- malformed input

MALFORMED = [
    ("bad_json", "not json"),
    ("bad_json", "{"),
    ("bad_json", ""),
    ("bad_json", '{"command":"subscribe",}'),
    ("bad_json", "[" * 5000),
    ("bad_json", '{"command":"subscribe","identifier":"\\ud800"}'),
    ("bad_json", '\ufeff{"command":"pong"}'),
    ("", "[]"),
    ("", "null"),
    ("", "42"),
    ("", '"subscribe"'),
    ("", "[" * 400 + "]" * 400),
    ("", "{}"),
    ("", '{"command":null}'),
    ("", '{"command":["subscribe"]}'),
    ("", '{"identifier":"{}"}'),
    ("unknown_command", '{"command":"nope"}'),
    ("unknown_command", '{"command":"whisper","identifier":"{}","data":1}'),
    ("unknown_command", '{"command":"SUBSCRIBE","identifier":"{}"}'),
    ("missing_identifier", '{"command":"subscribe"}'),
    ("missing_identifier", '{"command":"subscribe","identifier":null}'),
    ("missing_identifier", '{"command":"subscribe","identifier":{"channel":"DashboardUpdatesChannel"}}'),
    ("missing_identifier", '{"command":"unsubscribe"}'),
    ("missing_identifier", '{"command":"message","data":"{}"}'),
    ("unknown_identifier", '{"command":"unsubscribe","identifier":"{}"}'),
    ("unknown_identifier", '{"command":"message","identifier":"{}","data":"{}"}'),
]


@pytest.mark.parametrize(("reason", "text"), MALFORMED)
def test_malformed_input_is_counted_and_ignored(
    server: Server, client: CableClient, log: str, reason: str, text: str
) -> None:
    labels = {"reason": reason} if reason else {}
    client.subscribe(identifier(log))
    before = server.metric("ignored_total", **labels)
    client.send(text)
    assert client.fence() == []
    assert server.metric("ignored_total", **labels) == before + 1
    server.publish(log, {"n": 0})
    assert client.message()["message"] == {"n": 0}


def test_binary_frames_are_counted_and_ignored(server: Server, client: CableClient, log: str) -> None:
    before = server.metric("ignored_total", reason="binary")
    for payload in (b"", b"\x00\xff\xfe", command("subscribe", identifier(log)).encode(), b"x" * 65536):
        client.wire.send(frame(BINARY, payload))
    assert client.fence() == []
    assert server.metric("ignored_total", reason="binary") == before + 4


@pytest.mark.parametrize("position", [5, None, [], {}, True, "nonsense", "", "x" * 5000])
def test_an_odd_last_event_id_is_no_error(
    server: Server, client: CableClient, log: str, position: object
) -> None:
    head = server.put(log, {"n": 0})
    answer = client.subscribe(identifier(log), last_event_id=position)
    assert answer["type"] == "confirm_subscription"
    assert answer["verdict"] in ("gap", "fresh")
    assert answer["position"] == head


def test_unknown_keys_are_ignored(server: Server, client: CableClient, log: str) -> None:
    text = json.dumps(
        {"x": 1, "command": "subscribe", "identifier": identifier(log), "y": {"command": "nope"}}
    )
    client.send(text)
    assert client.message()["type"] == "confirm_subscription"


def test_a_client_that_left_is_forgotten(server: Server, log: str, protocol: str) -> None:
    for end in ("close", "reset"):
        with CableClient(server.address, (protocol,)) as opened:
            opened.welcome()
            opened.subscribe(identifier(log))
            until(lambda: server.connections("cable") == 1, "it is counted")
            getattr(opened.wire, end)()
        until(lambda: server.connections("cable") == 0, f"{end} is noticed")
