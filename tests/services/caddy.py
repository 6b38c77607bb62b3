"""A Caddy in front of a server of the tests, with the configuration that docs/proxies.md shows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tests import needs
from tests.services.process import Service

PROXIES = Path(__file__).parents[2] / "docs" / "proxies.md"
GLOBAL = """\
{
	admin off
	auto_https off
	storage file_system storage
}
"""


class Caddy(Service):
    """Listens on a port of its own, without TLS; `upstream` is the port of the server."""

    name = "caddy"

    def __init__(self, directory: Path, upstream: int) -> None:
        super().__init__(directory)
        self._program = needs.program("caddy", "caddy")
        site = documented()
        for shown, meant in (
            ("dash.example.org", f"http://127.0.0.1:{self.port}"),
            (":3000", f":{upstream}"),
        ):
            assert site.count(shown) == 1, f"the documented configuration has {site.count(shown)} {shown}"
            site = site.replace(shown, meant)
        (directory / "Caddyfile").write_text(GLOBAL + site)

    def command(self) -> Sequence[str]:
        return (self._program, "run", "--config", "Caddyfile")

    def answers(self) -> bool:
        return self.accepts()


def documented() -> str:
    """Return the configuration that the documentation shows."""
    (found,) = re.findall(r"```caddyfile\n(.*?)```", PROXIES.read_text(), re.DOTALL)
    assert isinstance(found, str)
    return found
