"""The page and its files: web/ as it is, under a strict Content-Security-Policy.

The page draws `snapshot`, then connects from `position`: its first connection starts where it was drawn.
"""

from __future__ import annotations

import html
import os
import re
from functools import partial
from pathlib import Path
from typing import Protocol

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from .errors import NotFound
from .settings import DASHBOARD_STREAM, Settings
from .types import Position, Update

WEB = Path(__file__).resolve().parents[2] / "web"
VIEWS = {
    "/": "both",
    "/dashboard": "both",
    "/dashboard/sse-test": "sse",
    "/dashboard/websocket-test": "cable",
}
# Not mimetypes: it believes the machine's own tables, and a module with a wrong type does not run.
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
}
BESIDE_HTML = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


class Heads(Protocol):
    """Where the streams of this process stand."""

    def newest(self, stream: str) -> Update | None:
        """The newest update in memory."""

    def position(self, stream: str) -> Position:
        """The head."""


def page_routes(settings: Settings, hub: Heads, web: Path = WEB) -> list[BaseRoute]:
    """The pages, and everything under /static/."""
    page = partial(_page, settings, hub, web)
    return [
        *(Route(path, partial(page, view), methods=["GET"]) for path, view in VIEWS.items()),
        Mount("/static", Files(directory=web, check_dir=False)),
    ]


class Files(StaticFiles):
    """Starlette's static files (ETag, 304, ranges, no way out of the folder), of known types only."""

    def file_response(
        self,
        full_path: os.PathLike[str] | str,
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """One file, to be asked for again each time: an ETag makes that cheap."""
        kind = TYPES.get(Path(full_path).suffix, "text/plain; charset=utf-8")
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update({"cache-control": "no-cache", "x-content-type-options": "nosniff"})
        if response.status_code != 304:
            response.headers["content-type"] = kind
        return response


async def _page(settings: Settings, hub: Heads, web: Path, view: str, request: Request) -> Response:
    try:
        template = (web / "index.html").read_text("utf-8")
    except FileNotFoundError:
        raise NotFound("The page's files are not installed: run from a checkout that has web/.") from None
    known = DASHBOARD_STREAM in settings.streams
    position = str(hub.position(DASHBOARD_STREAM)) if known else ""
    newest = hub.newest(DASHBOARD_STREAM)
    host = own_host(request)
    content = filled(template, position, page_json(settings, view, newest, host))
    return Response(content, media_type="text/html", headers=_headers(settings, host))


def filled(template: str, position: str, settings: str) -> str:
    """The template with its two placeholders filled in; what is put in is not searched again."""
    values = {"position": html.escape(position), "page_json": settings}
    return re.sub(r"\{\{(position|page_json)\}\}", lambda match: values[match[1]], template)


def page_json(settings: Settings, view: str, newest: Update | None, host: str) -> str:
    """What the page has to know, as JSON that may stand inside a script element."""
    page = {
        "view": view,
        "stream": DASHBOARD_STREAM,
        "sse_endpoint": sse_origin(settings, host) + settings.sse_endpoint,
        "cable_endpoint": "/cable",
        "sse_auto_refresh": settings.sse_auto_refresh,
        "sse_connection_timeout": settings.sse_connection_timeout,
        "sse_retry_interval": settings.sse_retry_interval,
        "demo": settings.demo,
        "snapshot": orjson.Fragment(newest.text) if newest else None,
    }
    return orjson.dumps(page).decode().translate(BESIDE_HTML)


def sse_origin(settings: Settings, host: str) -> str:
    """`//host:port` of SSE_HOST and SSE_PORT, nothing when the page's own will do."""
    if settings.sse_host is None and settings.sse_port is None:
        return ""
    name = settings.sse_host or re.sub(r":[0-9]+$", "", host)
    name = f"[{name}]" if ":" in name and not name.startswith("[") else name
    return f"//{name}:{settings.sse_port}" if settings.sse_port else f"//{name}"


def own_host(request: Request) -> str:
    """The Host header, if it may be put into one of ours."""
    host = request.headers.get("host", "")
    return (
        host
        if re.fullmatch(r"[A-Za-z0-9._-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?", host)
        else ""
    )


def _headers(settings: Settings, host: str) -> dict[str, str]:
    # Not no-store: a page that may not be stored is not kept for the way back either (bfcache).
    return {
        "cache-control": "no-cache",
        "content-security-policy": policy(settings, host),
        "referrer-policy": "same-origin",
        "x-content-type-options": "nosniff",
    }


def policy(settings: Settings, host: str) -> str:
    """Content-Security-Policy: only our own files, no inline script or style, no frames.

    `'self'` covers WebSockets by CSP 3, but not in every Safari: the host is named. Both schemes,
    since behind a proxy that ends TLS ours is not the browser's (and an https page may not open ws: anyway).
    """
    targets = ["'self'", *(f"{scheme}://{host}" for scheme in ("ws", "wss") if host)]
    if origin := sse_origin(settings, host):
        targets += [f"http:{origin}", f"https:{origin}"]
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        f"connect-src {' '.join(targets)}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
