"""examples/: the programs, run as their README says, follow a stream and resume. tests/browser has the pages."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.live.conftest import Servers
from tests.live.examples import EXAMPLES, changed, commands, copied, running
from tests.live.wire import until
from tests.patience import HANG_LIMIT

SOON = {"RETRY_MIN": "50", "RETRY_MAX": "100"}


def numbers(log: Path) -> list[int]:
    """The numbers that were printed so far, in whole lines."""
    return [json.loads(line)["n"] for line in log.read_text().split("\n")[:-1]]


def test_the_pauses_of_shells_that_were_cut_off_together_differ() -> None:
    (pause,) = re.findall(r"^pause\(\) .*$", (EXAMPLES / "follow.sh").read_text(), re.MULTILINE)
    command = ["sh", "-c", f"{pause}\npause"]
    pauses = [float(subprocess.check_output(command, timeout=HANG_LIMIT)) for _ in range(20)]
    assert all(1 <= seconds <= 5 for seconds in pauses)
    assert len(set(pauses)) > 10  # all of them begin within a second or two


@pytest.mark.slow  # starts servers and waits for clients to come back
@pytest.mark.parametrize("title", ["Python", "curl"])
def test_a_program_misses_nothing_while_the_server_or_it_is_away(
    title: str, servers: Servers, tmp_path: Path
) -> None:
    with servers.new(SOON) as server:
        replaced = {"127.0.0.1:3000": server.address.netloc, "dashboard_updates": "log0"}
        copied(tmp_path, replaced)
        (shown,) = commands(title)
        command, log = changed(shown, replaced), tmp_path / "updates"

        def wait_for(count: int) -> None:
            until(lambda: len(numbers(log)) >= count, f"{title} has {count} updates: {said()}")
            assert numbers(log) == list(range(count))

        def said() -> str:
            return log.with_suffix(".err").read_text()

        with running(tmp_path, command, log):
            until(lambda: "fresh" in said(), "it is connected")
            server.count("log0", 0, 3)
            wait_for(3)
            server.end()
            server.wait()
            assert "server_restart" in said()
            server.start()
            server.count("log0", 3, 3)
            wait_for(6)
            server.kill()
            server.start()
            server.count("log0", 6, 3)
            wait_for(9)
        server.count("log0", 9, 3)
        with running(tmp_path, command, log):
            wait_for(12)
        assert "gap" not in said()
