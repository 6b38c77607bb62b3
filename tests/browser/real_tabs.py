"""A Chromium whose tabs are as a user's: hidden behind another tab, frozen, kept for the Back button.

Playwright keeps every page focused and visible, and turns the back-forward cache off. So this speaks the DevTools
protocol itself, as far as is needed here: https://chromedevtools.github.io/devtools-protocol/.
"""

from __future__ import annotations

import base64
import json
import subprocess
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psutil  # type: ignore[import-untyped]
from websockets.sync.client import ClientConnection, connect

from tests.browser.client_page import MODULE, PATH, REPLACED, ClientPage
from tests.live.server import die_with_parent
from tests.live.wire import Address, until
from tests.patience import HANG_LIMIT

PORT_FILE = "DevToolsActivePort"  # Chromium writes the port it took into its profile


class RealChromium:
    """One process with an empty profile. Its tabs share a window: the newest is in front."""

    def __init__(self, path: str, arguments: list[str], profile: Path) -> None:
        self._port_file = profile / PORT_FILE
        self._tabs: list[Tab] = []
        self._process = subprocess.Popen(
            [
                *die_with_parent(),
                path,
                "--headless=new",
                "--remote-debugging-port=0",
                f"--user-data-dir={profile}",
                "--no-first-run",
                *arguments,
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Self:
        try:
            self._port = until(self._read_port, "Chromium listens")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.close_tabs()
        finally:
            self._end()

    def _end(self) -> None:
        for process in self._processes():  # killed, as a test may have failed while they slept
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()

    def _read_port(self) -> int:
        assert self._process.poll() is None, "Chromium ended while it started"
        lines = self._port_file.read_text().split() if self._port_file.exists() else []
        return int(lines[0]) if lines else 0  # it is there before it is written

    def open_tab(self, url: str = "about:blank") -> Tab:
        """A tab in front of all others."""
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/json/new?{url}", method="PUT")
        with urllib.request.urlopen(request, timeout=HANG_LIMIT) as response:
            self._tabs.append(Tab(json.load(response)["webSocketDebuggerUrl"]))
        return self._tabs[-1]

    def sleep(self) -> None:
        """Stop all processes, as a machine does that is put to sleep: timers do not run, sockets stay open."""
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):  # helpers of a browser come and go
                process.suspend()

    def wake(self) -> None:
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def _processes(self) -> list[psutil.Process]:
        try:
            parent = psutil.Process(self._process.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:  # it has ended by itself
            return []

    def close_tabs(self) -> None:
        for tab in self._tabs:
            tab.close()
        self._tabs.clear()


class Tab:
    """One tab, over a DevTools session of its own."""

    def __init__(self, url: str) -> None:
        self._socket: ClientConnection = connect(url, max_size=None, legacy=True)
        self._number = 0
        self._script = ""

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method and wait for its answer. Requests that the tab pauses meanwhile are answered."""
        number = self._send(method, **parameters)
        while True:
            message = json.loads(self._socket.recv(HANG_LIMIT))
            if message.get("method") == "Fetch.requestPaused":
                self._fulfil(message["params"]["requestId"])
            if message.get("id") == number:
                assert "error" not in message, (method, message["error"])
                result: dict[str, Any] = message["result"]
                return result

    def evaluate(self, expression: str) -> Any:
        """The value of an expression, as JSON can say it; promises are awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def replace_script(self, path: str, text: str) -> None:
        """Answer requests for this path with another text."""
        self._script = base64.b64encode(text.encode()).decode()
        self.call("Fetch.enable", patterns=[{"urlPattern": f"*{path}"}])

    def go_to(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def bring_to_front(self) -> None:
        self.call("Page.bringToFront")

    def freeze(self) -> None:
        """As Chromium does it with tabs that nobody has looked at for minutes; only hidden ones can be."""
        self.call("Page.setWebLifecycleState", state="frozen")

    def thaw(self) -> None:
        self.call("Page.setWebLifecycleState", state="active")

    def close(self) -> None:
        self.call("Page.close")
        self._socket.close()

    def _send(self, method: str, **parameters: Any) -> int:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        return self._number

    def _fulfil(self, request_id: str) -> None:
        media_type = [{"name": "content-type", "value": "text/javascript"}]
        self._send(
            "Fetch.fulfillRequest",
            requestId=request_id,
            responseCode=200,
            responseHeaders=media_type,
            body=self._script,
        )


class TabClients(ClientPage):
    """Clients in a tab of a RealChromium."""

    def __init__(self, chromium: RealChromium, address: Address) -> None:
        self.chromium = chromium
        self.tab = chromium.open_tab()
        super().__init__(self.tab.evaluate, address)
        self.tab.replace_script(REPLACED, MODULE)
        self.tab.go_to(address.origin + PATH)
        self.ready()
