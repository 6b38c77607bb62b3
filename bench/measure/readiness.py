"""What a server says of itself while something is away: its readiness, asked ten times a second beside the load."""

from __future__ import annotations

import http.client
import threading
import time
from types import TracebackType
from typing import Any

EVERY_SECONDS = 0.1
ANSWER_SECONDS = 1.0
COLUMNS = ("t_s", "status")
NO_ANSWER, READY = 0, 200


class Readiness:
    """`with Readiness(host, port, path) as readiness:`; each question is a connection of its own, as a load balancer's.

    Of several processes behind one port any of them answers.
    """

    def __init__(self, host: str, port: int, path: str) -> None:
        self._where = host, port, path
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask_on, daemon=True)
        self.answers: list[tuple[int, int]] = []  # moment (CLOCK_MONOTONIC, ns) and status

    def __enter__(self) -> Readiness:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(2 * ANSWER_SECONDS)

    def _ask_on(self) -> None:
        while not self._ended.wait(EVERY_SECONDS):
            moment = time.monotonic_ns()
            self.answers.append((moment, self._ask()))

    def _ask(self) -> int:
        host, port, path = self._where
        connection = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return NO_ANSWER
        finally:
            connection.close()

    def unready_seconds(self) -> float:
        """From the first answer that was not 200 to the first 200 behind the last of them; up to the last answer."""
        answers = list(self.answers)
        bad = [at for at, (_, status) in enumerate(answers) if status != READY]
        if not bad:
            return 0.0
        end = min(bad[-1] + 1, len(answers) - 1)
        return (answers[end][0] - answers[bad[0]][0]) / 1e9

    def table(self, origin_ns: int) -> dict[str, Any]:
        """Columns and rows for the result file; `t_s` counts from `origin_ns`, and status 0 is no answer."""
        rows = [[round((moment - origin_ns) / 1e9, 3), status] for moment, status in list(self.answers)]
        return {"columns": list(COLUMNS), "rows": rows}
