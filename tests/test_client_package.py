"""web/client as others get it: packed by npm, installed, compiled against, and run."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests import needs

ROOT = Path(__file__).parents[1]
TOOLS = ROOT / "tests" / "js" / "node_modules" / ".bin"
CONSUMER = """
import { connectCable, connectSse, FetchEventSource, ticketsFrom } from "dashboard-rt-client";
import type { Client, ClientOptions, State } from "dashboard-rt-client";
import { connectSse as alone } from "dashboard-rt-client/sse";

const states: State[] = [];
const options: ClientOptions = {
  url: async () => new URL("https://example.org/dashboard/stream"),
  ticket: ticketsFrom("/tickets", { streams: ["s"] }),
  position: "k3f9-7",
  onUpdate(data, { position, size }) { const text: string = position + data.anything + size.toFixed(); void text; },
  onVerdict({ verdict, missed }) { if (verdict === "gap") console.log((missed ?? 0) + 1); },
  onState(state, { reason, retryIn, final }) { states.push(state); console.log(reason, retryIn?.toFixed(), final); },
  platform: { EventSource: FetchEventSource },
};
const clients: Client[] = [connectSse(options), alone(options), connectCable({ ...options, channel: "Chat" })];
class Authorised extends FetchEventSource {
  constructor(url: string) { super(url, { headers: { authorization: "Bearer t" } }); }
}
connectSse({ url: "/x", platform: { EventSource: Authorised, window: undefined } });
const source = new EventSource("/x");
source.addEventListener("verdict", (event) => console.log(event.data));
new FetchEventSource("/x").addEventListener("verdict", (event) => console.log(event.data, event.lastEventId));
// @ts-expect-error: there is no such verdict
connectSse({ url: "/x", onVerdict: ({ verdict }) => verdict === "lost" });
// @ts-expect-error: url is needed
connectSse({});
// @ts-expect-error: the state is read only
clients[0].state = "live";
"""
RUN = """
import { connectSse, FetchEventSource } from "dashboard-rt-client";
import { connectCable } from "dashboard-rt-client/cable";
import "dashboard-rt-client/fetch-event-source";
import { createRequire } from "node:module";
const told = [];
const client = connectSse({
  url: "http://127.0.0.1:9/", platform: { EventSource: FetchEventSource }, onState(state) {
    told.push(state);
    if (state === "waiting") client.close();
    if (state !== "closed") return;
    const { version } = createRequire(import.meta.url)("dashboard-rt-client/package.json");
    console.log(JSON.stringify({ told, version, cable: typeof connectCable }));
  },
});
"""


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An app of somebody, with the packed client in its node_modules."""
    needs.node()
    if shutil.which("npm") is None or not (TOOLS / "tsc").exists():
        needs.missing("WHAT scripts/setup-node INSTALLS", "Run it: it needs Node >= 20 with npm.")
    app = tmp_path_factory.mktemp("app")
    packed = run(
        "npm", "pack", "--silent", "--pack-destination", app, ROOT / "web" / "client", cwd=app
    ).strip()
    with tarfile.open(app / packed) as archive:
        archive.extractall(app, filter="data")
    (app / "node_modules").mkdir()
    (app / "package").rename(app / "node_modules" / "dashboard-rt-client")
    return app


def test_the_package_holds_what_it_gives_out(app: Path) -> None:
    package = app / "node_modules" / "dashboard-rt-client"
    there = {path.name for path in package.iterdir()}
    assert there >= {path.name for path in (ROOT / "web" / "client").glob("*.js")}
    assert there >= {"package.json", "index.d.ts", "README.md", "LICENSE"}
    manifest = json.loads((package / "package.json").read_text("utf-8"))
    assert "dependencies" not in manifest and "scripts" not in manifest


def test_a_consumer_in_typescript_compiles(app: Path) -> None:
    (app / "consumer.ts").write_text(CONSUMER)
    strict = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom"]
    run(TOOLS / "tsc", *strict, "--types", "", "consumer.ts", cwd=app)


def test_a_consumer_runs_under_node(app: Path) -> None:
    (app / "consumer.mjs").write_text(RUN)
    told = json.loads(run(needs.node(), "consumer.mjs", cwd=app))
    assert told == {"told": ["connecting", "waiting", "closed"], "version": "0.1.0", "cable": "function"}
