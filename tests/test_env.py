"""env: what each reader accepts, and what it says about anything else."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from dashboard_rt import env, urls
from dashboard_rt.env import Derived, Variable
from dashboard_rt.errors import BadSetting
from dashboard_rt.types import Kind

Read = Callable[[str], object]
HOSTS_REFUSED = (
    "dash.example:80",
    "https://dash.example",
    "*.",
    "a*.b",
    ".dash.example",
    "a,,b",
    "a b",
    "ä.example",
)
PATHS_REFUSED = (
    "/",
    "dash",
    "/dash/",
    "//dash",
    "/a//b",
    "/a/../b",
    "/.",
    "/a?b",
    "/a#b",
    "/a b",
    "/%2e",
    '/"',
)
POSTGRES_URLS = (
    "postgres://localhost/d",
    "postgresql://u:p%40ss@db.example:6432/d",
    "postgres://u:p@[::1]/d?sslmode=verify-full",
    "postgres://u:p@h/d?sslmode=require&channel_binding=require",
    "postgresql:///d?host=/var/run/postgresql",
)
POSTGRES_URLS_REFUSED = (
    "postgres://localhost",
    "postgres:///d",
    "postgres://localhost/d?sslmode=perhaps",
    "postgres://localhost/d?pgbouncer=true",
    "postgres://localhost/d?pool",
    "postgres://a:1,b:2/d",
    "postgres://a:port/d",
    "postgresql+asyncpg://localhost/d",
    "mysql://localhost/d",
)


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (env.whole(0, 65535), "0", 0),
        (env.whole(0, 65535), "65535", 65535),
        (env.seconds(0.1, 60), "0.1", 0.1),
        (env.seconds(0.1, 60), "15", 15.0),
        (env.size(1), "65536", 65536),
        (env.size(1), "8 MiB", 8 * 1024**2),
        (env.size(1), "64KiB", 65536),
        (env.one_of("text", "json"), "JSON", "json"),
        (env.switch, "on", True),
        (env.switch, "False", False),
        (env.switch, "1", True),
        (env.inline_or_off, "inline", True),
        (env.inline_or_off, "off", False),
        (env.limit_or_off, "off", None),
        (env.limit_or_off, "12", 12),
        (env.host, "0.0.0.0", "0.0.0.0"),
        (env.host, "[::1]", "::1"),
        (env.host, "my-host.example", "my-host.example"),
        (env.hosts, "Dash.Example, *.dash.example", ("dash.example", "*.dash.example")),
        (env.hosts, "[2001:DB8::0:1],10.0.0.1,*", ("2001:db8::1", "10.0.0.1", "*")),
        (env.hosts, "dash.example.,my_host", ("dash.example", "my_host")),
        (env.root_path, "/dash", "/dash"),
        (env.root_path, "/a/b-c.d~e_f", "/a/b-c.d~e_f"),
        (env.path, "/dashboard/stream", "/dashboard/stream"),
        (env.token, "s3cret~", "s3cret~"),
        (urls.database_url, "sqlite:////var/lib/d.db", "sqlite:////var/lib/d.db"),
        *((urls.database_url, text, text) for text in POSTGRES_URLS),
        (urls.broker_url, "memory://", "memory://"),
        (urls.broker_url, "rediss://u:p%40@r.example:6380/2", "rediss://u:p%40@r.example:6380/2"),
        (urls.redis_url, "redis://localhost", "redis://localhost"),
        (urls.redis_url, "redis://:p@[::1]:6379/", "redis://:p@[::1]:6379/"),
        (env.addresses, "10.0.0.0/8, ::1", ("10.0.0.0/8", "::1")),
        (env.addresses, "*", ("*",)),
        (env.origins, "https://A.example, http://b:8080/", ("https://a.example", "http://b:8080")),
        (env.origins, "https://a.example:443,http://[::1]:3000", ("https://a.example", "http://[::1]:3000")),
        (
            env.origins,
            "capacitor://localhost, tauri://localhost,chrome-extension://abc/",
            ("capacitor://localhost", "tauri://localhost", "chrome-extension://abc"),
        ),
        (env.streams, "a:state", {"a": Kind.STATE}),
        (env.streams, "a:b:log, c.d-e_f:state", {"a:b": Kind.LOG, "c.d-e_f": Kind.STATE}),
        (env.streams, "x" * 63 + ":log", {"x" * 63: Kind.LOG}),
    ],
)
def test_accepts(read: Read, text: str, value: object) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text", "complaint"),
    [
        (env.whole(0, 65535), "65536", "a whole number from 0 to 65535"),
        (env.whole(0, 65535), "-1", "a whole number from 0 to 65535"),
        (env.whole(0, 65535), "٣", "a whole number from 0 to 65535"),
        (env.whole(0, 65535), "1_000", "a whole number from 0 to 65535"),
        (env.seconds(0.1, 60), "0", "a number of seconds from 0.1 to 60"),
        (env.seconds(0.1, 60), "nan", "a number of seconds from 0.1 to 60"),
        (env.seconds(0.1, 60), "1e3", "a number of seconds from 0.1 to 60"),
        (env.size(65536), "10", "a number of bytes of at least 65536"),
        (env.size(65536), "8 GB", "a number of bytes of at least 65536"),
        (env.one_of("text", "json"), "xml", "text or json"),
        (env.switch, "perhaps", "on or off"),
        (env.limit_or_off, "0", "off or a whole number of at least 1"),
        (env.host, "host:80", "a host name or an IP address, without a port"),
        (env.host, "a b", "a host name or an IP address, without a port"),
        *((env.hosts, text, "host names such as") for text in HOSTS_REFUSED),
        *((env.root_path, text, "a path such as /dash") for text in PATHS_REFUSED),
        (env.path, "stream", "a path that starts with one slash"),
        (env.path, "//evil.example/x", "a path that starts with one slash"),
        (env.path, "/a?b", "a path that starts with one slash"),
        (env.token, "two words", "printable ASCII without spaces"),
        (urls.database_url, "sqlite:///:memory:", "the URL of a SQLite file"),
        (urls.database_url, "sqlite:///", "the URL of a SQLite file"),
        *((urls.database_url, text, "the URL of a SQLite file, such as") for text in POSTGRES_URLS_REFUSED),
        (urls.broker_url, "kafka://localhost", "memory://, postgres or the URL of a Redis"),
        (urls.redis_url, "redis://", "the URL of a Redis"),
        (urls.redis_url, "redis://h:99999", "the URL of a Redis"),
        (urls.redis_url, "redis://h/name", "the URL of a Redis"),
        (urls.redis_url, "rediss://h?ssl_cert_reqs=none", "the URL of a Redis"),
        (urls.redis_url, "redis://u:p#x@h", "the URL of a Redis"),
        (env.addresses, "10.0.0.0/99", "IP addresses or networks"),
        (env.origins, "*", "origins such as"),
        (env.origins, "https://a.example/path", "origins such as"),
        (env.origins, "https://user@a.example", "origins such as"),
        (env.origins, "https://a.example:99999", "origins such as"),
        (env.origins, "null", "origins such as"),
        (env.origins, "file://", "origins such as"),
        (env.origins, "ws://a.example", "origins such as"),
        (env.origins, "data:text/html,x", "origins such as"),
        (env.streams, "a", "name:kind pairs"),
        (env.streams, "a:other", "name:kind pairs"),
        (env.streams, "a:log,a:state", "name:kind pairs"),
        (env.streams, ":log", "name:kind pairs"),
        (env.streams, "a b:log", "name:kind pairs"),
        (env.streams, "ä:log", "name:kind pairs"),
        (env.streams, "x" * 64 + ":log", "name:kind pairs"),
    ],
)
def test_refuses(read: Read, text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(complaint)):
        read(text)


def test_the_sslmode_of_a_url() -> None:
    assert urls.sslmode("sqlite:///d.db") == urls.sslmode("postgres://h/d") == "prefer"
    assert urls.sslmode("postgres://h/d?sslmode=disable") == "off"
    assert urls.sslmode("postgres://h/d?sslmode=verify-ca") == "verify-full"


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
def test_loopback(name: str) -> None:
    assert env.is_loopback(name)


@pytest.mark.parametrize("name", ["0.0.0.0", "::", "10.0.0.1", "::ffff:10.0.0.1", "example.org"])
def test_not_loopback(name: str) -> None:
    assert not env.is_loopback(name)


PORT = Variable("3000", env.whole(0, 65535), "The port.")


def test_a_variable_reads_the_environment_or_its_default() -> None:
    assert PORT.value("PORT", {"PORT": " 80 "}, {}) == 80
    assert PORT.value("PORT", {}, {}) == 3000
    assert PORT.value("PORT", {"PORT": ""}, {}) == 3000, "empty means not set"


def test_a_derived_default_sees_what_was_read_before() -> None:
    variable = Variable(Derived("2 x A", lambda seen: 2 * seen["a"]), env.whole(0), "Twice.")
    assert variable.value("B", {}, {"a": 4}) == 8
    assert variable.value("B", {"B": "5"}, {"a": 4}) == 5


def test_a_bad_value_is_named_in_one_sentence() -> None:
    with pytest.raises(BadSetting, match=r"^PORT must be a whole number from 0 to 65535, not 'x'\.$"):
        PORT.value("PORT", {"PORT": "x"}, {})


def test_a_bad_secret_is_not_repeated() -> None:
    variable = Variable("", env.token, "Secret.", secret=True)
    with pytest.raises(BadSetting) as raised:
        variable.value("TOKEN", {"TOKEN": "my secret"}, {})
    assert "my secret" not in str(raised.value)


def test_a_password_in_a_bad_url_is_not_repeated() -> None:
    variable = Variable("memory://", urls.broker_url, "Broker.")
    for password in ("hunter2", "hunter2/@:x"):
        with pytest.raises(BadSetting, match=r"kafka://u:\*\*\*@h") as raised:
            variable.value("BROKER_URL", {"BROKER_URL": f"kafka://u:{password}@h"}, {})
        assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("postgres:/u:hunter2@h/db", "***@h/db"),
        ("u:hunter2@h/db", "***@h/db"),
        ("hunter2@h:6379", "***@h:6379"),
        ("redis//u:hunter2@h", "***@h"),
        ("rediss:u:hunter2@h", "***@h"),
        ("postgres://u/x:hunter2@h", "***@h"),
        ("postgres://u@h:x/db", "postgres://u@h:x/db"),
        ("'postgres://u:hunter2@h/db'", "'postgres://u:***@h/db'"),
        ("postgres://h/db?user=u&password=hunter2", "postgres://h/db?user=u&password=***"),
        ("host=h user=u PASSWORD='hunter2 x'", "host=h user=u PASSWORD=***"),
        ("jdbc:postgresql://h/db?pwd=hunter2", "jdbc:postgresql://h/db?pwd=***"),
    ],
)
def test_a_password_is_not_repeated_wherever_a_typo_has_put_it(text: str, told: str) -> None:
    assert env.repeatable(text) == told


def test_masked_values_use_the_words_of_the_environment() -> None:
    assert Variable("off", env.switch, "").masked(True) == "on"
    assert Variable("inline", env.inline_or_off, "", on="inline").masked(True) == "inline"
    assert Variable("inline", env.inline_or_off, "", on="inline").masked(False) == "off"
    assert Variable("required", env.required_or_none, "", off="none").masked(False) == "none"
    assert Variable("", env.addresses, "").masked(("::1",)) == ["::1"]
    assert Variable("", env.token, "", secret=True).masked("x") == env.MASK
    assert Variable("", env.token, "", secret=True).masked(None) is None
    assert Variable("", urls.database_url, "").masked("postgres://u:p@h/d") == "postgres://u:***@h/d"
