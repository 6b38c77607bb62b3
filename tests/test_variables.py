"""Readers: what they take, and what they say about the rest."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from dashboard_rt import variables as v
from dashboard_rt.errors import BadSetting
from dashboard_rt.types import Kind
from dashboard_rt.variables import Derived, Variable

Read = Callable[[str], object]


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (v.whole(0, 65535), "0", 0),
        (v.whole(0, 65535), "65535", 65535),
        (v.seconds(0.1, 60), "0.1", 0.1),
        (v.seconds(0.1, 60), "15", 15.0),
        (v.size(1), "65536", 65536),
        (v.size(1), "8 MiB", 8 * 1024**2),
        (v.size(1), "64KiB", 65536),
        (v.one_of("text", "json"), "JSON", "json"),
        (v.switch, "on", True),
        (v.switch, "False", False),
        (v.switch, "1", True),
        (v.inline_or_off, "inline", True),
        (v.inline_or_off, "off", False),
        (v.limit_or_off, "off", None),
        (v.limit_or_off, "12", 12),
        (v.host, "0.0.0.0", "0.0.0.0"),
        (v.host, "[::1]", "::1"),
        (v.host, "my-host.example", "my-host.example"),
        (v.path, "/dashboard/stream", "/dashboard/stream"),
        (v.token, "s3cret~", "s3cret~"),
        (v.database_url, "sqlite:////var/lib/d.db", "sqlite:////var/lib/d.db"),
        (v.broker_url, "memory://", "memory://"),
        (v.addresses, "10.0.0.0/8, ::1", ("10.0.0.0/8", "::1")),
        (v.addresses, "*", ("*",)),
        (v.origins, "https://A.example, http://b:8080/", ("https://a.example", "http://b:8080")),
        (v.origins, "https://a.example:443,http://[::1]:3000", ("https://a.example", "http://[::1]:3000")),
        (v.streams, "a:state", {"a": Kind.STATE}),
        (v.streams, "a:b:log, c.d-e_f:state", {"a:b": Kind.LOG, "c.d-e_f": Kind.STATE}),
        (v.streams, "x" * 63 + ":log", {"x" * 63: Kind.LOG}),
    ],
)
def test_takes(read: Read, text: str, value: object) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text", "complaint"),
    [
        (v.whole(0, 65535), "65536", "a whole number from 0 to 65535"),
        (v.whole(0, 65535), "-1", "a whole number from 0 to 65535"),
        (v.whole(0, 65535), "٣", "a whole number from 0 to 65535"),
        (v.whole(0, 65535), "1_000", "a whole number from 0 to 65535"),
        (v.seconds(0.1, 60), "0", "a number of seconds from 0.1 to 60"),
        (v.seconds(0.1, 60), "nan", "a number of seconds from 0.1 to 60"),
        (v.seconds(0.1, 60), "1e3", "a number of seconds from 0.1 to 60"),
        (v.size(65536), "10", "a number of bytes of at least 65536"),
        (v.size(65536), "8 GB", "a number of bytes of at least 65536"),
        (v.one_of("text", "json"), "xml", "text or json"),
        (v.switch, "perhaps", "on or off"),
        (v.limit_or_off, "0", "off or a whole number of at least 1"),
        (v.host, "host:80", "a host name or an IP address, without a port"),
        (v.host, "a b", "a host name or an IP address, without a port"),
        (v.path, "stream", "a path that starts with one slash"),
        (v.path, "//evil.example/x", "a path that starts with one slash"),
        (v.path, "/a?b", "a path that starts with one slash"),
        (v.token, "two words", "printable ASCII without spaces"),
        (v.database_url, "sqlite:///:memory:", "the URL of a SQLite file"),
        (v.database_url, "sqlite:///", "the URL of a SQLite file"),
        (v.database_url, "postgres://localhost/d", "the URL of a SQLite file"),
        (v.broker_url, "redis://localhost", "memory://"),
        (v.addresses, "10.0.0.0/99", "IP addresses or networks"),
        (v.origins, "*", "origins such as"),
        (v.origins, "https://a.example/path", "origins such as"),
        (v.origins, "https://user@a.example", "origins such as"),
        (v.origins, "https://a.example:99999", "origins such as"),
        (v.origins, "null", "origins such as"),
        (v.streams, "a", "name:kind pairs"),
        (v.streams, "a:other", "name:kind pairs"),
        (v.streams, "a:log,a:state", "name:kind pairs"),
        (v.streams, ":log", "name:kind pairs"),
        (v.streams, "a b:log", "name:kind pairs"),
        (v.streams, "ä:log", "name:kind pairs"),
        (v.streams, "x" * 64 + ":log", "name:kind pairs"),
    ],
)
def test_refuses(read: Read, text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(complaint)):
        read(text)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "127.8.9.10", "::1"])
def test_loopback(name: str) -> None:
    assert v.is_loopback(name)


@pytest.mark.parametrize("name", ["0.0.0.0", "::", "10.0.0.1", "example.org"])
def test_not_loopback(name: str) -> None:
    assert not v.is_loopback(name)


PORT = Variable("3000", v.whole(0, 65535), "The port.")


def test_a_variable_reads_the_environment_or_its_default() -> None:
    assert PORT.value("PORT", {"PORT": " 80 "}, {}) == 80
    assert PORT.value("PORT", {}, {}) == 3000
    assert PORT.value("PORT", {"PORT": ""}, {}) == 3000, "empty means not set"


def test_a_derived_default_sees_what_was_read_before() -> None:
    variable = Variable(Derived("2 x A", lambda seen: 2 * seen["a"]), v.whole(0), "Twice.")
    assert variable.value("B", {}, {"a": 4}) == 8
    assert variable.value("B", {"B": "5"}, {"a": 4}) == 5


def test_a_bad_value_is_named_in_one_sentence() -> None:
    with pytest.raises(BadSetting, match=r"^PORT must be a whole number from 0 to 65535, not 'x'\.$"):
        PORT.value("PORT", {"PORT": "x"}, {})


def test_a_bad_secret_is_not_repeated() -> None:
    variable = Variable("", v.token, "Secret.", secret=True)
    with pytest.raises(BadSetting) as raised:
        variable.value("TOKEN", {"TOKEN": "my secret"}, {})
    assert "my secret" not in str(raised.value)


def test_a_password_in_a_bad_url_is_not_repeated() -> None:
    variable = Variable("memory://", v.broker_url, "Broker.")
    with pytest.raises(BadSetting, match=r"redis://u:\*\*\*@h") as raised:
        variable.value("BROKER_URL", {"BROKER_URL": "redis://u:hunter2@h"}, {})
    assert "hunter2" not in str(raised.value)


def test_shown_as_the_environment_would_say_it() -> None:
    assert Variable("off", v.switch, "").shown(True) == "on"
    assert Variable("inline", v.inline_or_off, "").shown(True) == "inline"
    assert Variable("", v.addresses, "").shown(("::1",)) == ["::1"]
    assert Variable("", v.token, "", secret=True).shown("x") == v.MASK
    assert Variable("", v.token, "", secret=True).shown(None) is None
    assert Variable("", v.database_url, "").shown("postgres://u:p@h/d") == "postgres://u:***@h/d"
