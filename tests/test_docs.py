"""docs: an undocumented setting, endpoint or word of the wire fails here."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from dashboard_rt.app import create_app
from dashboard_rt.settings import Settings, described
from dashboard_rt.transports.cable import commands, frames
from dashboard_rt.types import Verdict

DOCS = Path(__file__).resolve().parents[1] / "docs"
PROTOCOL = (DOCS / "protocol.md").read_text()
SETTINGS = (DOCS / "settings.md").read_text()


def routes() -> list[BaseRoute]:
    return list(create_app(Settings.read({})).routes)


@pytest.mark.parametrize("route", routes(), ids=lambda route: getattr(route, "path", str(route)))
def test_every_route_is_in_the_protocol_document(route: BaseRoute) -> None:
    assert isinstance(route, Route | WebSocketRoute | Mount)
    if not isinstance(route, Mount):
        assert f"{route.path}`" in PROTOCOL or f"{route.path}?" in PROTOCOL, f"{route.path} is not documented"


@pytest.mark.parametrize("variable", [name for _, name, _ in described()])
def test_every_setting_is_in_the_table_of_settings(variable: str) -> None:
    assert f"`{variable}`" in SETTINGS


@pytest.mark.parametrize(
    "word",
    [
        *Verdict,
        *sorted(commands.COMMANDS),
        frames.EXT_PROTOCOL,
        frames.BASE_PROTOCOL,
        "last_event_id",
        "Last-Event-ID",
        "heartbeat",
        "goodbye",
        "confirm_subscription",
        "reject_subscription",
        "confirm_history",
        "reject_history",
        "disconnect",
        "server_restart",
        "too_slow",
        "full",
        "x-stream-position",
        "Idempotency-Key",
    ],
)
def test_every_word_of_the_wire_is_in_the_protocol_document(word: str) -> None:
    assert word in PROTOCOL
