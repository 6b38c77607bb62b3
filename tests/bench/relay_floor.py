"""The floor told by Redis instead of HTTP, keeping nothing: `relay_floor.py REDIS_PORT --port N --kind log`."""

from __future__ import annotations

import asyncio
import sys
import threading
import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from bench.targets import floor

RETRY_SECONDS = 0.05
BEHIND_SECONDS = 0.5  # far more than the publisher waits before it tries again: what it then says is lost


class Relay(floor.Floor):
    """Sends what comes over the channel `bench`, and connects again when Redis has gone."""

    redis_port = 0

    def __init__(self, keeps_state: bool, joined: bool) -> None:
        super().__init__(keeps_state, joined)
        self.loop = asyncio.get_running_loop()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self) -> None:
        while True:
            try:
                self.hear()
            except redis.RedisError:
                self.wait()

    def wait(self) -> None:
        """Until Redis has been back for a while."""
        while True:
            time.sleep(RETRY_SECONDS)
            try:
                redis.Redis(port=self.redis_port).ping()
            except redis.RedisError:
                continue
            time.sleep(BEHIND_SECONDS)
            return

    def hear(self) -> None:
        # Without its own retries, with which the library subscribes again in silence as soon as Redis is back.
        client = redis.Redis(port=self.redis_port, retry=Retry(NoBackoff(), 0))
        with client.pubsub() as channel:  # type: ignore[no-untyped-call]
            channel.subscribe("bench")
            for message in channel.listen():
                if message["type"] == "message":
                    self.loop.call_soon_threadsafe(self.send, [message["data"]])


if __name__ == "__main__":
    Relay.redis_port = int(sys.argv.pop(1))
    floor.Floor = Relay  # type: ignore[misc]
    floor.main()
