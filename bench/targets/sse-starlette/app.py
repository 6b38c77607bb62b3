"""The event stream as sse-starlette's README shows it, fed by broadcaster: a subscription per client. SSE only.

KIND=log PUBLISH_TOKEN=... python -m uvicorn --app-dir bench/targets/sse-starlette app:app
"""

# The package may be absent where the types are checked.
# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from broadcaster import Broadcast
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

CHANNEL = "bench"
broadcast = Broadcast("memory://")
keeps_state = os.environ.get("KIND") == "state"
newest: list[str] = []


async def events() -> AsyncIterator[dict[str, str]]:
    async with broadcast.subscribe(CHANNEL) as subscriber:
        yield {"event": "connected", "data": "{}"}
        for text in newest:
            yield {"data": text}
        while True:
            event = await subscriber.get()
            yield {"data": event.message}


async def stream(request: Request) -> Response:
    response: Response = EventSourceResponse(events())
    return response


async def publish(request: Request) -> Response:
    if request.headers.get("authorization") != f"Bearer {os.environ['PUBLISH_TOKEN']}":
        return JSONResponse({"error": "unauthorized"}, status_code=401)
    for text in (await request.body()).decode().splitlines():
        if keeps_state:
            newest[:] = [text]
        await broadcast.publish(CHANNEL, message=text)
    return JSONResponse({}, status_code=201)


async def up(request: Request) -> Response:
    return Response()


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with broadcast:
        yield


app = Starlette(
    routes=[
        Route("/dashboard/stream", stream),
        Route("/streams/bench", publish, methods=["POST"]),
        Route("/up", up),
    ],
    lifespan=lifespan,
)
