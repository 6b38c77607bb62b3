"""commands: what a cable client may say, and what of it means nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dashboard_rt.transports.cable.commands import (
    MAX_IDENTIFIER_BYTES,
    BadCommand,
    History,
    parse_action,
    parse_command,
    parse_history,
    stream_of,
)
from dashboard_rt.types import Position

CHANNEL = '{"channel":"DashboardUpdatesChannel"}'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "bad_json"),
        ("nonsense", "bad_json"),
        ("[]", "bad_json"),
        ("null", "bad_json"),
        ('"subscribe"', "bad_json"),
        ('{"command":"subscribe","identifier":"\\ud800"}', "bad_json"),
        ("[" * 5000, "bad_json"),
        ('{"a":NaN}', "bad_json"),
        ("{}", "unknown_command"),
        ('{"command":7}', "unknown_command"),
        ('{"command":["subscribe"]}', "unknown_command"),
        ('{"command":"whoami","identifier":"I"}', "unknown_command"),
        ('{"command":"subscribe"}', "missing_identifier"),
        ('{"command":"subscribe","identifier":""}', "missing_identifier"),
        ('{"command":"subscribe","identifier":{"channel":"x"}}', "missing_identifier"),
        ('{"command":"message","identifier":null}', "missing_identifier"),
        ('{"command":"ping","identifier":1}', "missing_identifier"),
    ],
)
def test_what_is_no_command_says_why(text: str, reason: str) -> None:
    with pytest.raises(BadCommand, match=f"^{reason}$"):
        parse_command(text)


@given(st.text())
@example('{"command":"pong"}')  # hypothesis also tries the texts that stand in the code
def test_any_text_is_a_command_or_a_bad_one(text: str) -> None:
    try:
        command = parse_command(text)
    except BadCommand:
        return
    assert command.name == json.loads(text)["command"]


def test_commands() -> None:
    command = parse_command('{"command":"subscribe","identifier":"I","last_event_id":"k-1"}')
    assert (command.name, command.identifier, command.fields["last_event_id"]) == ("subscribe", "I", "k-1")
    assert parse_command('{"command":"ping"}').identifier == ""


@pytest.mark.parametrize(
    ("identifier", "stream"),
    [
        (CHANNEL, "dashboard_updates"),
        ('{"channel":"DashboardUpdatesChannel","stream":"events"}', "events"),
        ('{"stream":"events","channel":"DashboardUpdatesChannel","room":7}', "events"),
        ('{"channel":"$pubsub","stream_name":"events"}', "events"),
        ('{"channel":"$pubsub"}', None),
        ('{"channel":"$pubsub","stream":"events"}', None),
        ('{"channel":"DashboardUpdatesChannel","stream":7}', None),
        ('{"channel":"DashboardUpdatesChannel","stream":null}', None),
        ('{"channel":"ChatChannel"}', None),
        ('{"channel":["DashboardUpdatesChannel"]}', None),
        ("{}", None),
        ("[]", None),
        ("nonsense", None),
    ],
)
def test_the_stream_that_an_identifier_names(identifier: str, stream: str | None) -> None:
    assert stream_of(identifier) == stream


def test_identifiers_are_bounded_in_bytes() -> None:
    room = MAX_IDENTIFIER_BYTES - len('{"channel":"DashboardUpdatesChannel","x":""}')
    longest = '{"channel":"DashboardUpdatesChannel","x":"%s"}'
    assert stream_of(longest % ("x" * room)) == "dashboard_updates"
    assert stream_of(longest % ("x" * (room + 1))) is None
    assert stream_of(longest % ("é" * (room // 2 + 1))) is None


@pytest.mark.parametrize(
    ("data", "action"),
    [
        ('{"action":"refresh"}', "refresh"),
        ("{}", "receive"),
        ('{"action":""}', "receive"),
        ('{"action":null}', "receive"),
    ],
)
def test_actions(data: str, action: str) -> None:
    assert parse_action(data) == action


@pytest.mark.parametrize("data", [None, {}, 7, "", "nonsense", "[]", '{"action":7}'])
def test_what_is_no_action(data: object) -> None:
    with pytest.raises(BadCommand, match=r"^bad_data$"):
        parse_action(data)


@pytest.mark.parametrize(
    ("history", "asks"),
    [
        ({"streams": {"s": {"epoch": "k", "offset": 5}}}, History(Position("k", 5), None)),
        ({"since": 9, "streams": {}}, History(None, 9)),
        ({"since": 9}, History(None, 9)),
        ({"since": 9, "streams": {"s": {"epoch": "k", "offset": 5}}}, History(Position("k", 5), None)),
        ({"since": False, "streams": {"s": {"epoch": "k", "offset": 5}}}, History(Position("k", 5), None)),
        ({"streams": {"other": {"epoch": "k", "offset": 5}}}, History(None, None)),
        ({"streams": {"s": {"epoch": 7, "offset": 5}}}, History(None, None)),
        ({"streams": {"s": {"epoch": "k", "offset": -1}}}, History(None, None)),
        ({"streams": {"s": {"epoch": "k", "offset": True}}}, History(None, None)),
        ({"streams": {"s": 7}}, History(None, None)),
    ],
)
def test_histories(history: Mapping[str, object], asks: History) -> None:
    assert parse_history(history, "s") == asks


@pytest.mark.parametrize(
    "history",
    [None, 7, [], {}, {"streams": {}}, {"since": "9"}, {"since": True}, {"since": -1}, {"since": 1 << 40}],
)
def test_what_asks_for_no_history(history: object) -> None:
    with pytest.raises(BadCommand, match=r"^bad_history$"):
        parse_history(history, "s")
