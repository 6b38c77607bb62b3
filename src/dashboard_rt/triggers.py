"""POST /dashboard/trigger-*: run the collectors now, publish test updates.

The token opens them; without it they open only in the demo, to pages of this host, and not too often.
"""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from .access import Bucket, require_same_origin, require_token
from .errors import Refused, UnknownStream
from .jobs import Jobs
from .replies import Json
from .settings import DASHBOARD_STREAM, Settings

TRIGGERS_A_SECOND = 2.0
TRIGGERS_AT_ONCE = 10
BURST = 100
MOST_IN_A_BURST = 1000


class Triggers:
    """The three endpoints, and who may use them."""

    def __init__(self, jobs: Jobs, settings: Settings, bucket: Bucket | None = None) -> None:
        self._jobs = jobs
        self._settings = settings
        self._bucket = bucket or Bucket(TRIGGERS_A_SECOND, TRIGGERS_AT_ONCE, time.monotonic)

    def routes(self) -> list[BaseRoute]:
        """POST only: a GET changes nothing."""
        return [
            Route("/dashboard/trigger-jobs", self.run_jobs, methods=["POST"]),
            Route("/dashboard/trigger-test-pubsub", self.publish_one, methods=["POST"]),
            Route("/dashboard/trigger-burst", self.publish_many, methods=["POST"]),
        ]

    async def run_jobs(self, request: Request) -> Response:
        """Run the collectors now."""
        self._admit(request)
        await self._jobs.run_now()
        return Json({"ran": [job.name for job in self._jobs.jobs]})

    async def publish_one(self, request: Request) -> Response:
        """Publish one test update."""
        self._admit(request)
        return await self._publish(1)

    async def publish_many(self, request: Request) -> Response:
        """Publish `?count=` test updates at once (default 100)."""
        self._admit(request)
        return await self._publish(whole_parameter(request, "count", BURST, MOST_IN_A_BURST))

    def _admit(self, request: Request) -> None:
        if DASHBOARD_STREAM not in self._settings.streams:
            raise UnknownStream(f"STREAMS does not list {DASHBOARD_STREAM}.")
        headers = dict(request.scope["headers"])
        if b"authorization" in headers or not self._settings.demo:
            require_token(headers, self._settings.publish_token)
            return
        require_same_origin(headers)
        self._bucket.take()

    async def _publish(self, count: int) -> Response:
        receipt = await self._jobs.publish_test(count)
        return Json({"position": str(receipt.position), "count": receipt.count}, 201)


def whole_parameter(request: Request, name: str, default: int, most: int) -> int:
    """A query parameter from 1 to `most`. Raises Refused."""
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise Refused(f"{name} must be a whole number from 1 to {most}.")
    return int(text)
