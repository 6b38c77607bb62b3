"""Pictures of the page, for eyes: `python -m tests.browser.pictures FOLDER`, a minute on a quiet machine.

Each state at three widths, light and dark; `dashboard.png` among them is the one of docs/.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

from tests import needs
from tests.browser.conftest import ARGUMENTS
from tests.live.server import Server
from tests.services.fault_proxy import FaultProxy

WIDTHS = (360, 1280, 2560)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
BOTH = ("sse", "cable")
STREAM = "dashboard_updates"
# More than MAX_REPLAY makes a gap; the silences leave time to look at a stale panel.
SETTINGS = {"JOBS": "inline", "DEMO": "on", "MAX_REPLAY": "5", "CABLE_PING": "5"}
SEEN = {"SSE_HEARTBEAT": "5", "SSE_CONNECTION_TIMEOUT": "30"}
SHOWN_MS = 60_000  # what the charts of docs/dashboard.png show


def wait_for(page: Page, state: str, transports: tuple[str, ...] = BOTH) -> None:
    for transport in transports:
        page.wait_for_selector(f".panel[data-transport={transport}][data-state={state}]", timeout=60_000)


def publish_for(page: Page, milliseconds: int) -> None:
    for _ in range(milliseconds // 500):
        page.get_by_role("button", name="Publish a test update").click()
        page.wait_for_timeout(500)


class Pictures:
    """One page that is brought into each state, and the folder for its pictures."""

    def __init__(self, page: Page, folder: Path) -> None:
        self.page = page
        self.folder = folder

    def take(self, state: str, *, whole: bool = True) -> None:
        """`whole`: also what is below the window."""
        for scheme in SCHEMES:
            self.page.emulate_media(color_scheme=scheme)
            for width in WIDTHS:
                self.page.set_viewport_size({"width": width, "height": 900})
                self.page.wait_for_timeout(300)  # a chart takes its new width a moment later
                self.page.screenshot(path=self.folder / f"{state}-{scheme}-{width}.png", full_page=whole)

    def take_all(self, server: Server, proxy: FaultProxy) -> None:
        wait_for(self.page, "live")
        self.page.set_viewport_size({"width": 1280, "height": 900})
        publish_for(self.page, SHOWN_MS)
        self.page.screenshot(path=self.folder / "dashboard.png", full_page=True)
        self.take("live")
        self.page.get_by_role("button", name="Disconnect Server-Sent Events").click()
        wait_for(self.page, "closed", ("sse",))
        self.take("closed")
        server.publish(STREAM, *[{"metrics": {"cpu": cpu}} for cpu in range(14)])
        self.page.get_by_role("button", name="Connect Server-Sent Events").click()
        wait_for(self.page, "live")
        self.take("gap")
        self.page.get_by_role("button", name="Check the connection").click()
        self.take("doctor-running", whole=False)
        self.page.get_by_role("button", name="Finish now").click()
        self.take("doctor", whole=False)
        self.page.get_by_role("button", name="Close").click()
        proxy.hold()
        wait_for(self.page, "stale")
        self.take("stale")
        proxy.heal()
        wait_for(self.page, "live")
        proxy.refuse()
        proxy.cut()
        publish_for(self.page, 5000)
        wait_for(self.page, "waiting")
        self.take("waiting")


def main(browser: Browser, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as directory,
        Server(Path(directory), {**SETTINGS, **SEEN}) as server,
        FaultProxy(server.address.port) as proxy,
    ):
        page = browser.new_context(color_scheme="light").new_page()
        page.goto(f"http://127.0.0.1:{proxy.port}/dashboard")
        Pictures(page, folder).take_all(server, proxy)


if __name__ == "__main__":
    with sync_playwright() as playwright:
        main(playwright.chromium.launch(executable_path=needs.chromium(), args=ARGUMENTS), Path(sys.argv[1]))
