import assert from "node:assert/strict";
import { after, test } from "node:test";

import { connectShared } from "../../web/client/shared.js";
import { createBrowser, createServer } from "./world.mjs";

/** A SharedWorker in this process: a new copy of its module for each one that starts, and ports that deliver as the browser says. */
let copies = 0;
async function createSharedWorkers(browser) {
  copies += 1;
  await import(`../../web/client/shared-worker.js?${copies}`);
  const { onconnect } = globalThis;
  const worker = { name: `worker${copies}`, dead: false, hanging: false, sources: new Set() };
  globalThis.EventSource = browser.fakeEventSource(worker);
  const create = (tab) => () => {
    const [near, far] = [{}, {}];
    const send = (from, to, port) => (message) => {
      const data = structuredClone(message);
      browser.post(from, to, () => port.onmessage?.({ data }));
    };
    Object.assign(near, { postMessage: send(tab(), worker, far), close() {} });
    Object.assign(far, { postMessage: send(worker, tab(), near), addEventListener: (_, act) => (tab().ports = [act]) });
    browser.post(tab(), worker, () => onconnect({ ports: [far] }));
    return { port: near };
  };
  return { worker, create };
}

async function share(count, options = {}) {
  const server = createServer();
  const browser = createBrowser(server);
  const workers = await createSharedWorkers(browser);
  server.publish(5);
  const open = async (more) => {
    let tab = { name: "opening" };
    const createWorker = () => workers.create(() => tab)();
    tab = browser.openTab(connectShared, { url: "/base", ...options, ...more, platform: { createWorker, ...more?.platform } });
    await browser.settle();
    return tab;
  };
  const tabs = [];
  for (let n = 0; n < count; n += 1) tabs.push(await open());
  return { server, browser, open, tabs, workers };
}

after(() => delete globalThis.EventSource);

// A worker that is killed in a test leaves its timers, which would keep this process from ending.
const { setTimeout } = globalThis;
globalThis.setTimeout = (...given) => setTimeout(...given).unref();

test("tabs share the worker's connection, and the last one that closes ends it", async () => {
  const { server, browser, open, tabs } = await share(3);
  server.publish(2);
  await browser.settle();
  const late = await open({ position: "e-5" });
  assert.deepEqual(tabs.map(({ client }) => client.role), ["worker", "worker", "worker"]);
  for (const tab of tabs) assert.deepEqual(tab.updates, [5, 6, 7]);
  assert.deepEqual([late.updates, late.log], [[6, 7], ["live", "recovered e-5"]]);
  assert.equal(server.opened, 1);
  for (const tab of [...tabs, late]) {
    assert.equal(server.connections, 1);
    tab.client.close();
    await browser.settle();
  }
  assert.deepEqual([server.connections, browser.clock.pending], [0, 0]);
});

test("a tab that the browser says is gone leaves, too", async () => {
  const { server, browser, tabs } = await share(2);
  tabs[0].client.close();
  tabs[1].crash();
  tabs[1].ports[0]();
  await browser.settle();
  assert.equal(server.connections, 0);
});

test("the worker asks a tab for what its functions return", async () => {
  let tickets = 0;
  const ticket = async () => `t${(tickets += 1)}`;
  const { server, browser, tabs } = await share(2, { ticket, url: () => "/asked" });
  assert.deepEqual([tickets, server.addresses.at(-1).href], [1, "https://host/asked/dashboard/stream?ticket=t1"]);
  server.publish(1);
  await browser.settle();
  for (const tab of tabs) assert.deepEqual(tab.updates, [5, 6]);
  for (const tab of tabs) tab.client.close();
  await browser.settle();
});

test("a ticket function that says so closes the connection for good; who comes later has another one", async () => {
  let allowed = false;
  const ticket = () => {
    if (!allowed) throw Object.assign(new Error("not allowed"), { reconnect: false });
    return "t";
  };
  const { browser, open, tabs } = await share(1, { ticket });
  assert.deepEqual([tabs[0].client.state, tabs[0].log.at(-1)], ["closed", "closed no_ticket"]);
  allowed = true;
  const next = await open();
  assert.deepEqual([next.client.state, next.updates], ["live", [5]]);
  next.client.close();
  await browser.settle();
});

test("a worker whose script cannot be loaded is given up for locks", async () => {
  const { browser, open } = await share(0);
  const broken = () => {
    const worker = { port: { postMessage() {}, close() {} } };
    setImmediate(() => worker.onerror());
    return worker;
  };
  const forbidden = () => {
    throw new DOMException("of another origin", "SecurityError");
  };
  const roles = [];
  for (const createWorker of [broken, forbidden]) {
    const tab = await open({ platform: { createWorker } });
    roles.push(tab.client.role);
    assert.deepEqual([tab.client.state, tab.updates], ["live", [5]]);
    tab.client.close();
    await browser.settle();
  }
  assert.deepEqual(roles, ["leader", "leader"]);
});

test("a worker that has no EventSource is given up for locks", async () => {
  const { browser, open } = await share(0);
  delete globalThis.EventSource;
  const tab = await open();
  assert.deepEqual([tab.client.role, tab.updates], ["leader", [5]]);
  tab.client.close();
  await browser.settle();
});

async function silence(browser) {
  for (let n = 0; n < 5; n += 1) {
    browser.clock.advance(4000);
    await browser.settle();
  }
}

function kill({ worker }) {
  worker.dead = true;
  for (const source of worker.sources) source.close();
}

test("a worker that has crashed is started again, and the tabs go on where they were", async () => {
  const { server, browser, tabs, workers } = await share(2);
  kill(workers);
  server.publish(2);
  Object.assign(workers, await createSharedWorkers(browser));
  await silence(browser);
  for (const tab of tabs) assert.deepEqual([tab.client.role, tab.updates], ["worker", [5, 6, 7]]);
  assert.equal(server.connections, 1);
  for (const tab of tabs) tab.client.close();
  await browser.settle();
});

test("a worker that does not answer again is given up for locks", async () => {
  const { server, browser, tabs, workers } = await share(2);
  kill(workers);
  server.publish(2);
  await silence(browser);
  await silence(browser);
  assert.deepEqual(tabs.map(({ client }) => client.role).sort(), ["follower", "leader"]);
  for (const tab of tabs) assert.deepEqual(tab.updates, [5, 6, 7]);
  for (const tab of tabs) tab.client.close();
  await browser.settle();
  assert.deepEqual([server.connections, browser.clock.pending], [0, 0]);
});
