"""Shortcut: the few busiest routes, found by a look into a dictionary instead of by trying each route in turn.

A middleware, so that whatever an application adds around it still comes first. It only shortens the way to routes of
Starlette's router: what it does not know (another method, a mounted app, a faulty path) goes on to the router.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

Busy = Route | WebSocketRoute


class Shortcut:
    """To `routes` whose endpoints are ASGI apps; a path may end with one parameter (`/streams/{stream}`)."""

    def __init__(self, app: ASGIApp, routes: Iterable[Busy]) -> None:
        self.app = app
        self._whole: dict[str, Busy] = {}
        self._headed: dict[
            str, tuple[str, Busy]
        ] = {}  # by the path's head, with the name of the parameter behind it
        for route in routes:
            head, _, last = route.path.rpartition("/")
            if last.startswith("{"):
                self._headed[head] = last.strip("{}"), route
            else:
                self._whole[route.path] = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take the shortcut where there is one."""
        route = None if scope["type"] == "lifespan" or scope.get("root_path") else self._find(scope)
        await (self.app if route is None else route.app)(scope, receive, send)

    def _find(self, scope: Scope) -> Busy | None:
        path: str = scope["path"]
        route = self._whole.get(path)
        if route is not None:
            return route if _takes(route, scope) else None
        head, _, last = path.rpartition("/")
        if last and head in self._headed:
            name, route = self._headed[head]
            if _takes(route, scope):
                scope["path_params"] = {name: last}
                return route
        return None


def _takes(route: Busy, scope: Scope) -> bool:
    if isinstance(route, WebSocketRoute):
        return bool(scope["type"] == "websocket")
    return scope["type"] == "http" and (route.methods is None or scope["method"] in route.methods)
