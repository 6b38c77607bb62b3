"""An nginx in front of servers of the tests, with the configuration that docs/operations.md shows."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Sequence
from pathlib import Path

from tests import needs
from tests.services.process import Service

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
MAIN = """\
{user}
daemon off;
pid nginx.pid;
error_log stderr warn;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
access_log off;
{temporary}
{site}
}}
"""
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Nginx(Service):
    """Listens on a port of its own; `upstreams` are the ports of two servers."""

    name = "nginx"

    def __init__(self, directory: Path, upstreams: Sequence[int]) -> None:
        super().__init__(directory)
        self._program = needs.nginx()
        site = documented()
        for shown, port in ((8080, self.port), *zip((3001, 3002), upstreams, strict=True)):
            site, count = re.subn(rf"\b{shown}\b", f"{port}", site)
            assert count == 1, f"the documented configuration has {count} ports {shown}"
        site = site.replace(f"listen {self.port};", f"listen 127.0.0.1:{self.port};")
        folders = "\n".join(f"{name}_temp_path {directory / name};" for name in TEMPORARY)
        # Its workers would be somebody who cannot read a test's folder.
        user = "user root;" if os.getuid() == 0 else ""
        text = MAIN.format(user=user, temporary=folders, site=site)
        (directory / "nginx.conf").write_text(text)

    def command(self) -> Sequence[str]:
        return (self._program, "-p", str(self.directory), "-c", "nginx.conf", "-e", "stderr")

    def answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True


def documented() -> str:
    """Return the configuration that the documentation shows."""
    (found,) = re.findall(r"```nginx\n(.*?)```", OPERATIONS.read_text(), re.DOTALL)
    assert isinstance(found, str)
    return found
