"""A deploy: two server processes behind nginx, restarted one after the other under load (docs/proxies.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.live.conftest import Servers
from tests.live.crowd import CableMember, Crowd, ExtMember, Member, SseMember, Told
from tests.live.publishing import RATE, updates
from tests.live.server import Server
from tests.live.wire import Address, ask, until
from tests.services.nginx import Nginx

CLIENTS: Sequence[type[Member]] = [SseMember] * 500 + [CableMember] * 250 + [ExtMember] * 250


def restart(server: Server, crowd: Crowd) -> list[Told]:
    """Restart a server, and wait until everybody is back; what they were told."""
    crowd.told.clear()
    server.end()
    assert server.wait() == 0
    server.start()
    until(crowd.all_here, "all are back")
    return list(crowd.told)


def check_spread(told: Sequence[Told]) -> None:
    """Neither the goodbyes nor those who come back are a crowd: no second has more than twice the mean."""
    for moments in ([each.at for each in told], [each.back for each in told]):
        first, last = min(moments), max(moments)
        assert last - first > 1, "they are spread over time"
        seconds = Counter(int(moment - first) for moment in moments)
        assert max(seconds.values()) <= 2 * len(moments) / (last - first)


@pytest.mark.slow
def test_a_rolling_restart_loses_and_doubles_nothing(servers: Servers, tmp_path: Path) -> None:
    """With the handover only, as half a minute is enough: test_endings.py has the goodbyes of both forms."""
    env = {
        "DATABASE_URL": f"sqlite:///{tmp_path}/shared.db",
        "DRAIN_SECONDS": "6",
        "RETRY_MIN": "1000",
        "RETRY_MAX": "3000",
    }
    with servers.new(env) as first, servers.new(env) as second:
        nginx = Nginx(tmp_path, [first.address.port, second.address.port])
        nginx.start()
        address = Address("127.0.0.1", nginx.port)
        try:
            with Crowd(address, "log0", CLIENTS) as crowd:
                until(crowd.all_here, "all are connected")
                with updates(address, "log0") as acknowledged:
                    until(lambda: len(acknowledged) >= RATE, "updates flow")
                    for server in (first, second):
                        check_spread(restart(server, crowd))
                    before = len(acknowledged)
                    until(lambda: len(acknowledged) >= before + RATE, "updates still flow")
                until(lambda: crowd.all_have(acknowledged[-1]), "all have every update")
                assert crowd.surprises == 0, "every connection ended with a goodbye"
                assert set(crowd.statuses) == {"200", "101"}
            first.kill()
            second.kill()
            away = ask(address, "GET", "/dashboard/stream?stream=log0")
            assert (away.status, away.body) == (200, b"retry: 2000\n\n"), "an EventSource goes on trying"
            assert away.head.get("access-control-allow-origin") == "*", "in a page of another origin, too"
        finally:
            nginx.kill()
