"""What one writes by hand with Starlette and broadcaster, after broadcaster's own README: a subscription per client.

    BROADCAST_URL=memory:// KIND=log PUBLISH_TOKEN=... python -m uvicorn --app-dir bench/targets/by-hand app:app

It must stay what a README leads to. What is not here, and why the app is more: no log, so nobody resumes; no bound on
what waits for a slow client; a queue, a task and an encoded message for each client.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
from broadcaster import Broadcast
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

CHANNEL = "bench"
broadcast = Broadcast(os.environ.get("BROADCAST_URL", "memory://"))
keeps_state = os.environ.get("KIND") == "state"
newest: list[str] = []


async def events() -> AsyncIterator[str]:
    async with broadcast.subscribe(CHANNEL) as subscriber:
        yield "event: connected\ndata: {}\n\n"
        for text in newest:
            yield f"data: {text}\n\n"
        while True:
            event = await subscriber.get()
            yield f"data: {event.message}\n\n"


async def stream(request: Request) -> Response:
    return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


async def cable(socket: WebSocket) -> None:
    await socket.accept(subprotocol="actioncable-v1-json")
    await socket.send_json({"type": "welcome"})
    with suppress(WebSocketDisconnect):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ping, socket)
            async for text in socket.iter_text():
                command = json.loads(text)
                if command.get("command") == "subscribe":
                    tasks.start_soon(deliver, socket, command["identifier"])
            tasks.cancel_scope.cancel()


async def ping(socket: WebSocket) -> None:
    while True:
        await anyio.sleep(3)
        await socket.send_json({"type": "ping", "message": int(time.time())})


async def deliver(socket: WebSocket, identifier: str) -> None:
    key = json.dumps(identifier)
    async with broadcast.subscribe(CHANNEL) as subscriber:
        await socket.send_text(f'{{"identifier":{key},"type":"confirm_subscription"}}')
        for text in newest:
            await socket.send_text(f'{{"identifier":{key},"message":{text}}}')
        while True:
            event = await subscriber.get()
            await socket.send_text(f'{{"identifier":{key},"message":{event.message}}}')


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
        WebSocketRoute("/cable", cable),
        Route("/streams/bench", publish, methods=["POST"]),
        Route("/up", up),
    ],
    lifespan=lifespan,
)
