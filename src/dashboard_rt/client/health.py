"""What a server says of itself on `/health` (docs/protocol.md §5), and what that means for whoever runs `doctor`.

A server that has no such path, or answers something else there, says nothing: it may be another one than ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx

from .connection import TransportName, json_object
from .diagnosis import Finding
from .environment import find_proxy
from .failures import ConnectionFailed, shorten, translate_errors
from .sse import http_client
from .target import Target

SECONDS = 5.0
MAX_BYTES = 64 * 1024
MAX_SENTENCES = 20
MAX_SENTENCE_CHARS = 500


class ServerHealth(NamedTuple):
    """What the server has to do without, in sentences: until it is mended, or until a setting is changed."""

    outages: tuple[str, ...] = ()
    by_settings: tuple[str, ...] = ()

    def findings(self) -> Iterator[Finding]:
        """An outage is serious, though nobody is disconnected. What the settings say is a note: it may be meant."""
        for sentence in self.outages:
            yield Finding("outage", sentence)
        for sentence in self.by_settings:
            yield Finding("slow_settings", sentence, harmless=True)


async def ask_health(target: Target) -> ServerHealth:
    """Ask the server that both endpoints of `target` belong to. Never raises: its transports are what is watched."""
    try:
        async with asyncio.timeout(SECONDS):
            return read_health(json_object(await _answer(target)))
    except (ConnectionFailed, TimeoutError, httpx.HTTPError):
        return ServerHealth()


async def _answer(target: Target) -> str:
    """Return the body of a 200, at most MAX_BYTES of it; of anything else, nothing."""
    proxy = find_proxy(target, TransportName.SSE)
    with translate_errors(target.health, SECONDS, None if proxy is None else str(proxy)):
        async with (
            http_client(target, SECONDS, proxy) as client,
            client.stream("GET", target.health) as response,
        ):
            body = b""
            async for part in response.aiter_bytes():
                body += part
                if len(body) > MAX_BYTES:
                    break
            return body[:MAX_BYTES].decode(errors="replace") if response.status_code == 200 else ""


def read_health(answer: dict[str, Any]) -> ServerHealth:
    """Read the JSON of /health. Whatever has another shape than ours is nothing."""
    by_settings = _sentences(answer.get("by_settings"))
    outages = tuple(each for each in _sentences(answer.get("degraded")) if each not in by_settings)
    return ServerHealth(outages, by_settings)


def _sentences(value: object) -> tuple[str, ...]:
    found = value if isinstance(value, list) else []
    texts = [each for each in found[:MAX_SENTENCES] if isinstance(each, str)]
    return tuple(shorten(text, MAX_SENTENCE_CHARS) for text in texts)
