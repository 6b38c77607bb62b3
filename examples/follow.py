"""Follow a stream with httpx-sse, and resume after every break, also after one of this program.

    .venv/bin/python examples/follow.py http://127.0.0.1:3000 --stream dashboard_updates --position position.txt

Prints one update a line. What it is told beside updates goes to stderr.
"""

import argparse
import json
import random
import sys
import time
from pathlib import Path

import httpx
from httpx_sse import ServerSentEvent, SSEError, connect_sse

SILENCE = 35.0  # seconds: a heartbeat comes every 15, so two of them are missing
LONGEST_PAUSE = 30.0  # seconds


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Follower:
    """One stream, and the position up to which it was printed."""

    def __init__(self, url: str, stream: str, file: Path) -> None:
        self.url = f"{url.rstrip('/')}/dashboard/stream"
        self.stream = stream
        self.file = file
        self.position = file.read_text().strip() if file.exists() else ""
        self.failures = 0  # in a row
        self.pause: float | None = None  # seconds, when the server has said how long to stay away

    def run(self) -> None:
        """Connect for ever; each connection goes on where the last one ended."""
        with httpx.Client(timeout=httpx.Timeout(10.0, read=SILENCE)) as client:
            while True:
                try:
                    self.connection(client)
                except httpx.HTTPStatusError as error:
                    if error.response.status_code in (400, 401, 403, 404):  # asking again would not help
                        error.response.read()
                        sys.exit(f"{error.response.status_code}: {error.response.text}")
                    say(str(error))
                except (httpx.TransportError, SSEError) as error:
                    say(f"{type(error).__name__}: {error}")
                self.wait()

    def connection(self, client: httpx.Client) -> None:
        """Read one connection to its end."""
        headers = {"Last-Event-ID": self.position} if self.position else {}
        with connect_sse(client, "GET", self.url, params={"stream": self.stream}, headers=headers) as source:
            source.response.raise_for_status()
            for event in source.iter_sse():
                self.handle(event)

    def handle(self, event: ServerSentEvent) -> None:
        if (
            event.event == "message" and event.data
        ):  # httpx-sse gives out a lone `retry:` line, too, without data
            print(event.data, flush=True)
        elif event.event == "verdict":
            self.failures, self.pause = 0, None
            say(f"verdict {event.data}")
        elif event.event == "goodbye":
            self.pause = json.loads(event.data)["retry_ms"] / 1000
            say(f"goodbye {event.data}")
        if event.id and event.id != self.position:
            self.keep(event.id)  # behind the update: one that was not printed is sent again

    def keep(self, position: str) -> None:
        """Put a position into the file at once: whoever ends within a write of the file itself would leave it empty."""
        self.position = position
        new = self.file.with_name(f"{self.file.name}.new")
        new.write_text(f"{position}\n")
        new.replace(self.file)

    def wait(self) -> None:
        """Stay away as long as the server asks, or else for a random time that grows with each failure."""
        longest = min(LONGEST_PAUSE, 2.0**self.failures)
        pause = random.uniform(0, longest) if self.pause is None else self.pause
        self.failures, self.pause = self.failures + 1, None
        say(f"again in {pause:.1f} s")
        time.sleep(pause)


def main() -> None:
    parser = argparse.ArgumentParser(description="Follow a stream of dashboard-rt.")
    parser.add_argument("url", nargs="?", default="http://127.0.0.1:3000")
    parser.add_argument("--stream", default="dashboard_updates")
    parser.add_argument("--position", type=Path, default=Path("position.txt"), help="the file that keeps it")
    options = parser.parse_args()
    Follower(options.url, options.stream, options.position).run()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
