"""An nginx in front of servers of the tests, with a configuration that docs/proxies.md shows."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from tests import needs
from tests.services.process import Service

PROXIES = Path(__file__).parents[2] / "docs" / "proxies.md"
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


SHOWN = {1: (3000,), 2: (3001, 3002)}  # the ports of the servers in the document, by their number


class Nginx(Service):
    """Listens on a port of its own, in front of one server or two, whose ports are `upstreams`.

    `site` is the configuration, with the ports that the document shows; by default that of the document.
    """

    name = "nginx"

    def __init__(self, directory: Path, upstreams: Sequence[int], site: str | None = None) -> None:
        super().__init__(directory)
        self._program = needs.nginx()
        ports = SHOWN[len(upstreams)]
        site = documented(ports[0]) if site is None else site
        for shown, port in ((8080, self.port), *zip(ports, upstreams, strict=True)):
            site, count = re.subn(rf"\b{shown}\b", f"{port}", site)
            assert count == 1, f"the configuration has {count} ports {shown}"
        site = site.replace(f"listen {self.port};", f"listen 127.0.0.1:{self.port};")
        folders = "\n".join(f"{name}_temp_path {directory / name};" for name in TEMPORARY)
        # Its workers would be somebody who cannot read a test's folder.
        user = "user root;" if os.getuid() == 0 else ""
        text = MAIN.format(user=user, temporary=folders, site=site)
        (directory / "nginx.conf").write_text(text)

    def command(self) -> Sequence[str]:
        return (self._program, "-p", str(self.directory), "-c", "nginx.conf", "-e", "stderr")

    def answers(self) -> bool:
        return self.accepts()


def documented(port: int) -> str:
    """Return the configuration of the document that has a server on this port."""
    blocks = re.findall(r"```nginx\n(.*?)```", PROXIES.read_text(), re.DOTALL)
    (found,) = [block for block in blocks if f":{port}" in block]
    assert isinstance(found, str)
    return found
