import assert from "node:assert/strict";
import { test } from "node:test";

import { connectShared } from "../../web/client/shared.js";
import { createBrowser, createServer } from "./world.mjs";

/** Tabs that share by locks. */
async function share(count, options = {}) {
  const server = createServer(options);
  const browser = createBrowser(server);
  server.publish(5);
  const open = async (more) => {
    const tab = browser.openTab(connectShared, { url: "https://host", sharing: "locks", ...more });
    await browser.settle();
    return tab;
  };
  const tabs = [];
  for (let n = 0; n < count; n += 1) tabs.push(await open(options));
  return { server, browser, open, tabs };
}

const range = (from, to) => Array.from({ length: to - from + 1 }, (_, n) => from + n);
const roles = (tabs) => tabs.map(({ client }) => client.role);

test("three tabs share one connection, and each gets each update once, in order", async () => {
  const { server, browser, tabs } = await share(3);
  assert.deepEqual(roles(tabs), ["leader", "follower", "follower"]);
  server.publish(20);
  await browser.settle();
  assert.equal(server.connections, 1);
  assert.equal(server.opened, 1);
  for (const tab of tabs) {
    assert.deepEqual(tab.updates, range(5, 25));
    assert.deepEqual(tab.log.slice(-2), ["live", "fresh e-4"]);
    assert.deepEqual([tab.client.state, tab.client.position, tab.client.transport], ["live", "e-25", "sse"]);
  }
});

test("a tab that comes late has the newest update at once, and the verdict", async () => {
  const { server, browser, open } = await share(1);
  server.publish(3);
  await browser.settle();
  const late = await open();
  assert.deepEqual(late.updates, [8]);
  assert.deepEqual(late.log, ["live", "fresh e-7"]);
  assert.equal(server.opened, 1);
});

test("a tab that knows a position goes on from there, without a connection of its own", async () => {
  const { server, browser, open } = await share(1);
  server.publish(10);
  await browser.settle();
  const from = await open({ position: "e-9" });
  assert.deepEqual(from.updates, range(10, 15));
  assert.deepEqual(from.log, ["live", "recovered e-9"]);
  const ahead = await open({ position: "e-17" }); // its page was drawn by a server that is ahead of the connection
  server.publish(3);
  await browser.settle();
  assert.deepEqual(ahead.updates, [18]);
  assert.equal(server.opened, 1);
});

test("what the host does not have is fetched over a connection of its own, which ends when both have met", async () => {
  const { server, browser, open } = await share(1, { position: "e-4" });
  server.publish(300); // more than the tail
  await browser.settle();
  const old = await open({ position: "e-2" });
  server.publish(5);
  await browser.settle();
  assert.deepEqual(old.updates, range(3, 310));
  assert.deepEqual(old.log, ["connecting", "live", "recovered e-2"]);
  assert.deepEqual([server.connections, server.opened, old.client.role], [1, 2, "follower"]);
});

test("a position that nobody has any more is a gap for this tab alone", async () => {
  const { server, browser, open, tabs } = await share(1, { maxReplay: 50 });
  server.publish(300);
  await browser.settle();
  const foreign = await open({ position: "old-7" });
  assert.deepEqual(foreign.updates, [305]);
  assert.deepEqual(foreign.log, ["connecting", "live", "gap e-304"]);
  server.publish(1);
  await browser.settle();
  assert.deepEqual([foreign.updates, tabs[0].updates], [[305, 306], range(5, 306)]);
  assert.equal(server.connections, 1);
});

test("a loss reaches all tabs, and so do the verdict and what was missed", async () => {
  const { server, browser, tabs } = await share(3);
  for (const tab of tabs) tab.read();
  server.cut();
  await browser.settle();
  server.publish(4);
  browser.clock.advance(1000);
  await browser.settle();
  for (const tab of tabs) {
    assert.deepEqual(tab.read(), ["waiting refused", "connecting", "live", "recovered e-5"]);
    assert.deepEqual(tab.updates, range(5, 9));
    assert.equal(tab.client.stats.reconnects, 1);
  }
});

test("a gap of the connection is a gap of each tab, and the cursors go on behind it", async () => {
  const { server, browser, tabs } = await share(2, { maxReplay: 3 });
  server.cut();
  await browser.settle();
  server.publish(20);
  browser.clock.advance(1000);
  await browser.settle();
  server.publish(1);
  await browser.settle();
  for (const tab of tabs) {
    assert.equal(tab.log.at(-1), "gap e-24");
    assert.deepEqual(tab.updates, [5, 25, 26]);
  }
  assert.equal(server.connections, 1);
});

test("another epoch of the server is a gap", async () => {
  const { server, browser, tabs } = await share(2);
  Object.assign(server, { epoch: "f", last: 2 });
  server.cut();
  await browser.settle();
  browser.clock.advance(1000);
  await browser.settle();
  for (const tab of tabs) assert.deepEqual([tab.log.at(-1), tab.updates], ["gap f-1", [5, 2]]);
});

test("a frame that is not understood is told to each tab", async () => {
  const { server, browser, tabs } = await share(2);
  const ignored = [];
  const { client } = browser.openTab(connectShared, { url: "https://host", sharing: "locks", onIgnored: (what) => ignored.push(what) });
  await browser.settle();
  tabs[0].sources.values().next().value.listeners.message({ data: "{", lastEventId: "e-6" });
  await browser.settle();
  assert.deepEqual([ignored, client.stats.ignored], [["bad_json"], 1]);
  server.last = 6;
  server.publish();
  await browser.settle();
  assert.deepEqual(tabs[1].updates, [5, 7]);
});

test("a message between tabs that is lost is asked for", async () => {
  const { server, browser, tabs } = await share(3);
  tabs[1].hanging = true;
  server.publish(2);
  await browser.settle();
  browser.lose(tabs[1]);
  tabs[1].hanging = false;
  server.publish(2);
  await browser.settle();
  assert.deepEqual(tabs[1].updates, range(5, 9));
  assert.equal(server.opened, 1);
});

test("who comes before the server has answered gets what belongs to its own cursor", async () => {
  const { server, browser, open, tabs } = await share(0);
  server.refusing = true;
  for (const position of ["e-4", "e-2", "e-5", undefined]) tabs.push(await open({ position }));
  assert.deepEqual(tabs.map(({ client }) => client.state), Array(4).fill("waiting"));
  server.refusing = false;
  tabs[0].client.reconnect();
  await browser.settle();
  server.publish(1);
  await browser.settle();
  assert.deepEqual(tabs.map(({ updates }) => updates), [[5, 6], [3, 4, 5, 6], [6], [5, 6]]);
  assert.equal(server.connections, 1);
  const verdicts = tabs.map(({ log }) => log.filter((line) => line.includes("e-")));
  assert.deepEqual(verdicts, [["recovered e-4"], ["recovered e-2"], ["recovered e-4"], ["fresh e-4"]]);
});

test("updates without positions are given to each tab", async () => {
  const { server, browser, tabs } = await share(2);
  for (const word of ["a", "b"]) tabs[0].sources.values().next().value.sends("message", word);
  server.publish(1);
  await browser.settle();
  for (const tab of tabs) assert.deepEqual(tab.updates, [5, undefined, undefined, 6]);
});

// --- the leader goes

test("the next leader has the newest updates, also when it cannot connect", async () => {
  const { server, browser, open, tabs } = await share(2);
  server.publish(2);
  await browser.settle();
  server.refusing = true;
  tabs[0].client.close();
  await browser.settle();
  const late = await open();
  assert.deepEqual([late.updates, late.client.state], [[7], "waiting"]);
  assert.deepEqual((await open({ position: "e-5" })).updates, [6, 7]);
});

test("the next leader does not take updates around a gap for whole", async () => {
  const { server, browser, open, tabs } = await share(2, { maxReplay: 3 });
  server.cut();
  await browser.settle();
  server.publish(20);
  browser.clock.advance(1000);
  await browser.settle();
  server.refusing = true;
  tabs[0].client.close();
  await browser.settle();
  const old = await open({ position: "e-4" });
  assert.deepEqual([old.updates, old.client.state], [[], "waiting"]);
  server.refusing = false;
  tabs[1].client.reconnect();
  await browser.settle();
  assert.deepEqual([old.updates, old.log.at(-1)], [[25], "gap e-24"]);
});

test("a gap of a leader that was behind is none of those who were not", async () => {
  const { server, browser, tabs } = await share(3, { maxReplay: 3 });
  tabs[1].hanging = true;
  server.publish(4);
  await browser.settle();
  tabs[0].client.close();
  browser.lose(tabs[1]);
  tabs[1].hanging = false;
  await browser.settle();
  server.publish(1);
  await browser.settle();
  assert.deepEqual(tabs[1].updates, [5, 9, 10]);
  assert.deepEqual(tabs[2].updates, range(5, 10));
  assert.deepEqual([tabs[1].log.at(-1), tabs[2].log.at(-1)], ["gap e-8", "recovered e-8"]);
});

const ENDINGS = {
  "closes": (tab) => tab.client.close(),
  "crashes": (tab) => tab.crash(),
  "goes into the back-forward cache": (tab) => tab.window.dispatchEvent(new Event("pagehide")),
  "is frozen": (tab) => tab.document.dispatchEvent(new Event("freeze")),
};

for (const [name, ends] of Object.entries(ENDINGS)) {
  test(`when the leader ${name} the next goes on from its own cursor: no tab loses an update or gets one twice`, async () => {
    const { server, browser, tabs } = await share(3);
    server.publish(2);
    browser.deliver();
    ends(tabs[0]);
    server.publish(3);
    await browser.settle();
    server.publish(2);
    await browser.settle();
    assert.deepEqual(roles(tabs.slice(1)), ["leader", "follower"]);
    for (const tab of tabs.slice(1)) assert.deepEqual(tab.updates, range(5, 12));
    assert.equal(server.connections, 1);
  });
}

for (const [what, line] of [["behind", "tab1>tab3"], ["in front of", "tab2>tab3"]]) {
  test(`what was on its way from the old leader may come ${what} what the new one sends`, async () => {
    const { server, browser, tabs } = await share(3);
    tabs[2].hanging = true;
    server.publish(2);
    await browser.settle();
    tabs[0].client.close();
    await browser.settle();
    server.publish(2);
    await browser.settle();
    assert.equal(tabs[1].client.role, "leader");
    tabs[2].hanging = false;
    await browser.settle((_, names) => Math.max(0, names.findLastIndex((name) => name !== line)));
    for (const tab of tabs.slice(1)) assert.deepEqual(tab.updates, range(5, 9));
    assert.equal(server.opened, 2);
  });
}

test("a leader that hangs loses the lock, and is a follower when it comes to itself", async () => {
  const { server, browser, tabs } = await share(3);
  tabs[0].hanging = true;
  server.publish(3);
  for (let n = 0; n < 5; n += 1) {
    browser.clock.advance(4000);
    await browser.settle();
  }
  server.publish(2);
  await browser.settle();
  for (const tab of tabs.slice(1)) assert.deepEqual(tab.updates, range(5, 10));
  assert.deepEqual(roles(tabs.slice(1)).sort(), ["follower", "leader"]);
  tabs[0].hanging = false;
  // It hears of the new leader before it hears that it leads no more.
  await browser.settle((_, names) => Math.max(0, names.findIndex((name) => !name.startsWith("network"))));
  assert.deepEqual(tabs[0].updates, range(5, 10));
  assert.equal(tabs[0].client.role, "follower");
  assert.equal(server.connections, 1);
  for (const tab of tabs.slice(1)) tab.client.close();
  await browser.settle();
  server.publish(1);
  await browser.settle();
  assert.deepEqual([tabs[0].client.role, tabs[0].updates], ["leader", range(5, 11)]);
});

test("a silent stream is no hanging leader", async () => {
  const { browser, tabs, server } = await share(2);
  for (let n = 0; n < 20; n += 1) {
    browser.clock.advance(1000);
    for (const source of tabs[0].sources) source.sends("heartbeat", {}, server.last);
    await browser.settle();
  }
  assert.deepEqual([roles(tabs), server.opened], [["leader", "follower"], 1]);
});

test("the last tab that closes ends the connection; nothing stays", async () => {
  const { server, browser, tabs } = await share(3);
  const listeners = (tab) => [tab.window, tab.document].map((target) => target.listening);
  for (const tab of tabs) tab.client.close();
  await browser.settle();
  assert.deepEqual([server.connections, browser.locks, browser.clock.pending], [0, 0, 0]);
  for (const tab of tabs) {
    assert.deepEqual([tab.channels.size, tab.client.state, tab.log.at(-1)], [0, "closed", "closed closed"]);
    assert.deepEqual(listeners(tab), [0, 0]);
    tab.client.close();
    tab.client.reconnect();
    tab.client.switchTo("sse");
    tab.see(false);
  }
  await browser.settle();
  assert.equal(server.connections, 0);
});

// --- tabs come and go

test("a tab that was hidden for long leaves, and goes on from its cursor when it is seen", async () => {
  const { server, browser, tabs } = await share(2, { hiddenLimit: 60_000 });
  tabs[0].see(true);
  for (let n = 0; n < 61; n += 1) {
    browser.clock.advance(1000);
    for (const tab of tabs) for (const source of tabs[0].sources) source.sends("heartbeat", {}, server.last);
    await browser.settle();
  }
  assert.deepEqual([tabs[0].client.state, tabs[0].log.at(-1)], ["waiting", "waiting hidden"]);
  assert.equal(tabs[1].client.role, "leader");
  server.publish(3);
  await browser.settle();
  assert.deepEqual(tabs[0].updates, [5]);
  tabs[0].see(false);
  await browser.settle();
  assert.deepEqual(tabs[0].updates, range(5, 8));
  assert.deepEqual(tabs[0].log.slice(-2), ["live", "recovered e-5"]);
  assert.equal(server.connections, 1);
});

test("a tab that is seen lets the shared connection try at once", async () => {
  const { server, browser, tabs } = await share(2);
  server.refusing = true;
  server.cut();
  await browser.settle();
  server.refusing = false;
  tabs[1].see(false);
  await browser.settle();
  assert.deepEqual(tabs.map(({ client }) => client.state), ["live", "live"]);
});

test("reconnect() and switchTo() are those of the shared connection", async () => {
  const { server, browser, tabs } = await share(2);
  tabs[1].client.reconnect();
  await browser.settle();
  assert.deepEqual([server.opened, server.connections], [2, 1]);
  assert.deepEqual(tabs[0].log.slice(-3), ["connecting reconnect", "live", "recovered e-5"]);
  assert.throws(() => tabs[1].client.switchTo("toString"), /There is no transport/);
});

test("tabs with other names, or addresses, share nothing", async () => {
  const { server, open } = await share(1);
  assert.equal((await open({ name: "other" })).client.role, "leader");
  assert.equal((await open({ url: "https://other" })).client.role, "leader");
  assert.equal((await open({ stream: "other" })).client.role, "leader");
  assert.equal(server.connections, 4);
});

// --- where it cannot be shared

test("alone: nothing to share with, or nothing wanted", async () => {
  const { server, browser, open } = await share(0);
  const alone = [await open({ sharing: "none" }), await open({ platform: { locks: undefined } })];
  server.publish(2);
  await browser.settle();
  for (const tab of alone) {
    assert.deepEqual([tab.client.role, tab.updates], ["alone", [5, 6, 7]]);
    assert.deepEqual(tab.log, ["connecting", "live", "fresh e-4"]);
    tab.client.reconnect();
    await browser.settle();
    tab.document.dispatchEvent(new Event("freeze"));
    assert.equal(tab.client.stats.reconnects, 1);
    tab.see(false);
    await browser.settle();
    assert.equal(tab.log.at(-1), "recovered e-7");
    tab.client.close();
  }
  assert.deepEqual([server.connections, browser.clock.pending], [0, 0]);
});

test("locks that may not be used leave a tab alone", async () => {
  const { open } = await share(0);
  const locks = { request: async () => { throw new DOMException("not here", "SecurityError"); } };
  const tab = await open({ platform: { locks } });
  assert.deepEqual([tab.client.role, tab.client.state, tab.updates], ["alone", "live", [5]]);
});

test("a connection that is closed for good closes all tabs", async () => {
  const { tabs, browser, server } = await share(2);
  tabs[0].sources.values().next().value.sends("goodbye", { reason: "token_expired" }, 5);
  await browser.settle();
  for (const tab of tabs) assert.deepEqual([tab.client.state, tab.log.at(-1)], ["closed", "closed token_expired"]);
  assert.deepEqual([server.connections, browser.clock.pending], [0, 0]);
});
