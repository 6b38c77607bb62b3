"""The page and its files: everything in web/, under a strict Content-Security-Policy.

The page shows the snapshot that is filled into it and connects from the position beside it, so that its first
connection misses nothing and repeats nothing. What the page does with them is the business of web/.
"""

from __future__ import annotations

import html
import os
import re
from functools import partial
from pathlib import Path
from urllib.parse import quote

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from ..errors import NotFound
from ..hub.hub import Hub
from ..settings import DASHBOARD_STREAM, Settings
from ..types import Update
from .security import PREFIX, request_host

PACKAGE = Path(__file__).resolve().parents[1]
# Where it is installed web/ is a part of the package (pyproject.toml); in a checkout it stands at the top.
WEB = next(
    (folder for folder in (PACKAGE / "web", PACKAGE.parents[1] / "web") if folder.is_dir()), PACKAGE / "web"
)
VIEWS = {
    "/": "both",
    "/dashboard": "both",
    "/dashboard/sse-test": "sse",
    "/dashboard/websocket-test": "cable",
}
# Not mimetypes, which reads tables of the machine: browsers refuse to run a module with a wrong type.
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
}
HOST = re.compile(r"[A-Za-z0-9._-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
FILLED_IN = re.compile(
    r"""\{\{position\}\}|\{\{page_json\}\}|(?:(?<=src=")|(?<=href=")|(?<=data-trigger="))/"""
)
# JSON inside a script element: `</script>` or `<!--` in a string would end it or change how it is parsed
# (WHATWG HTML §4.12.1.3).
SCRIPT_ESCAPES = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


def routes(settings: Settings, hub: Hub, web: Path = WEB) -> list[BaseRoute]:
    """Return the pages, and the files of the folder `web` under /static/."""
    page = partial(_page, settings, hub, web)
    return [
        *(Route(path, partial(page, view), methods=["GET"]) for path, view in VIEWS.items()),
        Mount("/static", TypedStaticFiles(directory=web, check_dir=False)),
    ]


class TypedStaticFiles(StaticFiles):
    """Starlette's static files, with the media types of MEDIA_TYPES, and plain text for all others."""

    def file_response(
        self,
        full_path: os.PathLike[str] | str,
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        media_type = MEDIA_TYPES.get(Path(full_path).suffix, "text/plain; charset=utf-8")
        response = super().file_response(full_path, stat_result, scope, status_code)
        # no-cache: asked for again on each visit, which an ETag makes cheap; otherwise a new page might run with
        # an old module.
        response.headers.update({"cache-control": "no-cache", "x-content-type-options": "nosniff"})
        if response.status_code != 304:
            response.headers["content-type"] = media_type
        return response


async def _page(settings: Settings, hub: Hub, web: Path, view: str, request: Request) -> Response:
    try:
        template = (web / "index.html").read_text("utf-8")
    except FileNotFoundError:
        raise NotFound("The page's files are not installed: run from a checkout that has web/.") from None
    # Where streams want a ticket the page shows none: a browser that opens it cannot send one in a header.
    shown = DASHBOARD_STREAM in settings.streams and settings.stream_auth_secret is None
    # No await between the two: the position has to be that of this update.
    position = str(hub.position(DASHBOARD_STREAM)) if shown else ""
    newest = hub.newest(DASHBOARD_STREAM) if shown else None
    host, prefix = safe_host(request.scope), safe_prefix(request.scope)
    content = fill_template(template, position, page_json(settings, view, newest, host, prefix), prefix)
    return Response(content, media_type="text/html", headers=_headers(settings, host))


def _headers(settings: Settings, host: str) -> dict[str, str]:
    return {
        # Not no-store: browsers do not keep such a page for the Back button (bfcache).
        "cache-control": "no-cache",
        "content-security-policy": content_security_policy(settings, host),
        "referrer-policy": "same-origin",
        "x-content-type-options": "nosniff",
    }


# ---- what is filled in


def fill_template(template: str, position: str, settings: str, prefix: str = "") -> str:
    """Replace `{{position}}`, escaped for an attribute, and `{{page_json}}`, as it is; put `prefix` before addresses.

    In one pass, so that what looks like either inside an update is left alone.
    """
    values = {
        "{{position}}": html.escape(position),
        "{{page_json}}": settings,
        "/": f"{html.escape(prefix)}/",
    }
    return FILLED_IN.sub(lambda match: values[match[0]], template)


def page_json(settings: Settings, view: str, newest: Update | None, host: str, prefix: str) -> str:
    """Return what the page has to know, as JSON that is safe inside a script element."""
    page = {
        "view": view,
        "stream": DASHBOARD_STREAM,
        "sse_endpoint": sse_endpoint(settings, host, prefix),
        "cable_endpoint": f"{prefix}/cable",
        "health_endpoint": f"{prefix}/health",
        "time_endpoint": f"{prefix}/dashboard/time",
        "sse_auto_refresh": settings.sse_auto_refresh,
        "sse_connection_timeout": settings.sse_connection_timeout,
        "sse_heartbeat": settings.sse_heartbeat,
        "cable_ping": settings.cable_ping,
        "sse_retry_interval": settings.sse_retry_interval,
        "demo": settings.demo,
        "tickets": None if settings.stream_auth_secret is None else f"{prefix}/tickets",
        "snapshot": orjson.Fragment(newest.text) if newest else None,
    }
    return orjson.dumps(page).decode().translate(SCRIPT_ESCAPES)


def sse_endpoint(settings: Settings, host: str, prefix: str) -> str:
    """Return the address of the page's SSE stream. Another server than the page's own has a path of its own."""
    if origin := sse_origin(settings, host):
        return origin + settings.sse_endpoint
    written_out = prefix and settings.sse_endpoint.startswith(f"{prefix}/")
    return settings.sse_endpoint if written_out else prefix + settings.sse_endpoint


def sse_origin(settings: Settings, host: str) -> str:
    """Return `//host:port` of SSE_HOST and SSE_PORT; empty when the page's own origin serves the stream."""
    if settings.sse_host is None and settings.sse_port is None:
        return ""
    name = settings.sse_host or re.sub(r":[0-9]+$", "", host)
    name = f"[{name}]" if ":" in name and not name.startswith("[") else name
    return f"//{name}:{settings.sse_port}" if settings.sse_port else f"//{name}"


def safe_host(scope: Scope) -> str:
    """Return the host that the browser asked for; empty when it holds what could add a directive to the policy."""
    host = request_host(scope) or ""
    return host if HOST.fullmatch(host) else ""


def safe_prefix(scope: Scope) -> str:
    """Return the path in front of the app's own, as it is written in URLs: `/dash`, or nothing.

    An app that this one is mounted in may take it from the request. Two slashes would name another host.
    """
    prefix = scope.get(PREFIX, "")
    return quote("/" + prefix.lstrip("/"), safe="/~") if prefix else ""


def content_security_policy(settings: Settings, host: str) -> str:
    """Allow only our own files, no inline script or style, no frames (W3C Content Security Policy Level 3).

    The host is named, because `'self'` does not cover WebSockets in every Safari. It is named with both schemes,
    because behind a proxy that ends TLS the browser's is not ours; an https page may not open ws: anyway. An IPv6
    address is not: a policy has no words for one (§2.3.1, host-part), and Chromium complains on the console.
    """
    named = host and not host.startswith("[")
    targets = ["'self'", *(f"{scheme}://{host}" for scheme in ("ws", "wss") if named)]
    if origin := sse_origin(settings, host):
        targets += [f"http:{origin}", f"https:{origin}"]
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        f"connect-src {' '.join(targets)}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
