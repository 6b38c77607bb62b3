"""settings: defaults, cross-checks, secrets, and that docs/settings.md says the same as the code."""

from __future__ import annotations

import dataclasses
import re
import resource
from pathlib import Path

import orjson
import pytest

from dashboard_rt.env import Derived, Variable
from dashboard_rt.errors import BadSetting
from dashboard_rt.settings import DASHBOARD_STREAM, Settings, described
from dashboard_rt.types import Kind

DOCS = Path(__file__).resolve().parents[1] / "docs" / "settings.md"


def test_defaults() -> None:
    settings = Settings.read({})
    assert (settings.port, settings.host) == (3000, "127.0.0.1")
    assert settings.forwarded_allow_ips == (
        "127.0.0.1",
        "::1",
    )  # `localhost` in the settings of a proxy is both
    assert settings.streams == {DASHBOARD_STREAM: Kind.STATE}
    assert settings.jobs_inline and settings.handover and not settings.ws_compression
    assert (settings.tail_bytes, settings.keep_events, settings.max_replay) == (8 * 1024**2, 10_000, 1000)
    assert (settings.retry_min, settings.retry_max, settings.cable_ping) == (1000, 5000, 3.0)
    assert settings.publish_token is None and settings.allowed_origins == ()
    assert settings.sse_connection_timeout == 2 * settings.sse_heartbeat


def test_a_redis_is_the_broker_unless_another_is_named() -> None:
    assert Settings.read({}).broker_url == "memory://"
    assert Settings.read({"REDIS_URL": "redis://h"}).broker_url == "redis://h"
    assert Settings.read({"REDIS_URL": "redis://h", "BROKER_URL": "memory://"}).broker_url == "memory://"


def test_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings.read({}).port = 1  # type: ignore[misc]


@pytest.mark.parametrize(("host", "demo"), [("127.0.0.1", True), ("localhost", True), ("0.0.0.0", False)])
def test_the_demo_is_on_where_only_this_machine_can_reach_it(host: str, demo: bool) -> None:
    assert Settings.read({"HOST": host}).demo is demo
    assert Settings.read({"HOST": host, "DEMO": "off"}).demo is False


def test_hosts_are_checked_where_only_this_machine_is_meant_to_ask() -> None:
    assert Settings.read({}).allowed_hosts == ()
    assert Settings.read({"HOST": "0.0.0.0"}).allowed_hosts == ("*",)
    assert Settings.read({"ALLOWED_HOSTS": "dash.example"}).allowed_hosts == ("dash.example",)


def test_clients_fit_under_the_file_limit() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert Settings.read({}).max_clients == max(1, soft - 200)


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"RETRY_MIN": "6000"}, r"RETRY_MIN \(6000\) must not be above RETRY_MAX \(5000\)"),
        ({"STREAMS": "events:log"}, "STREAMS must list dashboard_updates:state, or JOBS must be off"),
        ({"SSE_CONNECTION_TIMEOUT": "15"}, r"SSE_CONNECTION_TIMEOUT \(15\) must be above SSE_HEARTBEAT"),
        ({"BROKER_URL": "postgres"}, "BROKER_URL=postgres needs a DATABASE_URL of PostgreSQL"),
        (
            {"INGEST_CHANNEL": "dashboard_rt", "REDIS_URL": "redis://h"},
            "INGEST_CHANNEL must not be dashboard_rt",
        ),
        ({"INGEST_CHANNEL": "c"}, "INGEST_CHANNEL needs the Redis server that it is on: set REDIS_URL"),
        (
            {"INGEST_CHANNEL": "c", "REDIS_URL": "redis://h", "STREAMS": "events:log", "JOBS": "off"},
            "STREAMS must list dashboard_updates, or the name in INGEST_CHANNEL",
        ),
        ({"MAX_CLIENTS": "5", "MAX_CLIENTS_PER_ADDRESS": "6"}, "MAX_CLIENTS_PER_ADDRESS"),
    ],
)
def test_cross_checks(environ: dict[str, str], sentence: str) -> None:
    with pytest.raises(BadSetting, match=sentence):
        Settings.read(environ)


def test_without_jobs_the_dashboard_stream_may_be_missing() -> None:
    assert Settings.read({"STREAMS": "events:log", "JOBS": "off"}).streams == {"events": Kind.LOG}


@pytest.mark.parametrize(("channel", "stream"), [("events", "events"), ("orders", DASHBOARD_STREAM)])
def test_a_channel_has_the_stream_of_its_name_or_that_of_the_dashboard(channel: str, stream: str) -> None:
    streams = f"{DASHBOARD_STREAM}:state,events:log"
    environ = {"INGEST_CHANNEL": channel, "REDIS_URL": "redis://h", "STREAMS": streams}
    assert Settings.read(environ).ingest_stream == stream


def test_secrets_are_masked() -> None:
    for name in ("PUBLISH_TOKEN", "OPS_TOKEN"):
        settings = Settings.read({name: "hunter2"})
        assert getattr(settings, name.lower()) == "hunter2"
        assert "hunter2" not in repr(settings)
        assert settings.masked()[name] == "***"


def test_masked_values_fit_into_json() -> None:
    masked = orjson.loads(orjson.dumps(Settings.read({}).masked()))
    assert masked["STREAMS"] == {DASHBOARD_STREAM: "state"} and masked["JOBS"] == "inline"


def row(name: str, variable: Variable) -> str:
    """The row of docs/settings.md that belongs to a variable."""
    default = variable.default.text if isinstance(variable.default, Derived) else f"`{variable.default}`"
    return f"| `{name}` | {default or '(none)'} | {variable.description} |"


@pytest.mark.parametrize(("name", "variable"), [(name, variable) for _, name, variable in described()])
def test_documented(name: str, variable: Variable) -> None:
    assert row(name, variable) in DOCS.read_text().splitlines()


def test_nothing_else_is_documented() -> None:
    listed = re.findall(r"^\| `([A-Z_]+)` \|", DOCS.read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(name for _, name, _ in described())
