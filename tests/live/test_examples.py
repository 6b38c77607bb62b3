"""examples/: the programs, run as their README says, follow a stream and resume. tests/browser has the pages."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
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


# What each does with an event, without a server.
TAKES = {
    "Python": f"""exec {shlex.quote(sys.executable)} -B -c '
from follow import Follower, Path, ServerSentEvent
Follower("", "", Path("position.txt")).handle(ServerSentEvent(data="1", id="k3f9-2"))'
""",
    "curl": """. ./functions.sh
printf 'id: k3f9-2\\ndata: 1\\n\\n' | read_events
""",
}


@pytest.mark.parametrize("writes", [True, False])
@pytest.mark.parametrize("title", TAKES)
def test_a_program_that_cannot_write_its_position_keeps_the_one_before(
    title: str, writes: bool, tmp_path: Path
) -> None:
    """As one that is killed while it writes: the file is never empty, which would mean to begin anew."""
    (tmp_path / "follow.py").write_text((EXAMPLES / "follow.py").read_text())
    functions, _, _ = (EXAMPLES / "follow.sh").read_text().partition("while :;")
    (tmp_path / "functions.sh").write_text(functions)
    (tmp_path / "position.txt").write_text("k3f9-1\n")
    limit = "" if writes else "ulimit -f 0\n"  # files are opened, and emptied, but not written
    done = subprocess.run(
        ["sh", "-c", limit + TAKES[title]], cwd=tmp_path, capture_output=True, timeout=HANG_LIMIT, check=False
    )
    assert done.stdout == b"1\n", done.stderr
    assert (tmp_path / "position.txt").read_text() == ("k3f9-2\n" if writes else "k3f9-1\n")


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
            # It is killed now: what was printed and not kept it would print again.
            until(
                lambda: (tmp_path / "position.txt").read_text().endswith("-9\n"), "it has kept its position"
            )
        server.count("log0", 9, 3)
        with running(tmp_path, command, log):
            wait_for(12)
        assert "gap" not in said()
