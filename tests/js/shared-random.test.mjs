/** Random lives of tabs that share a connection: each gets every update behind its own first one once, in order, whatever happens to the others. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { connectShared } from "../../web/client/shared.js";
import { createRandom } from "./random.mjs";
import { createBrowser, createServer } from "./world.mjs";

const SEEDS = Number(process.env.SEEDS ?? 40);
const STEPS = 60;

async function live(seed) {
  const random = createRandom(seed);
  const below = (limit) => Math.floor(random() * limit);
  const server = createServer({ maxReplay: Infinity });
  const browser = createBrowser(server);
  let tabs = [];
  server.publish(3);

  const start = () => [undefined, `e-${server.last}`, `e-${Math.max(0, server.last - below(400))}`][below(3)];
  const any = () => tabs[below(tabs.length)];
  const gone = (tab) => (tabs = tabs.filter((each) => each !== tab));
  const acts = {
    publish: () => server.publish(1 + below(5)),
    burst: () => server.publish(below(250)),
    open: () => tabs.length < 5 && tabs.push(browser.openTab(connectShared, { url: "https://host", sharing: "locks", position: start() })),
    close() {
      const tab = any();
      if (tab?.hanging === false) gone(tab, tab.client.close());
    },
    crash() {
      const tab = any();
      if (tab) gone(tab, tab.crash());
    },
    cut: () => server.cut(),
    hang: () => any() && (any().hanging = true),
    thaw: () => tabs.forEach((tab) => (tab.hanging = false)),
    leave: () => any()?.document.dispatchEvent(new Event("freeze")),
    come: () => tabs.forEach((tab) => tab.see(false)),
    reconnect: () => any()?.client.reconnect(),
    wait: () => browser.clock.advance(1000 * (1 + below(6))),
  };
  const names = Object.keys(acts);
  for (let step = 0; step < STEPS; step += 1) {
    acts[random() < 0.4 ? "publish" : names[below(names.length)]]();
    for (let messages = below(12); messages > 0; messages -= 1) {
      browser.deliver(below);
      await new Promise(setImmediate);
    }
  }
  acts.thaw();
  acts.come();
  for (let round = 0; round < 30; round += 1) {
    await browser.settle(below);
    browser.clock.advance(4000);
    for (const source of server.open) source.sends("heartbeat", {}, server.last);
  }
  server.publish(2);
  await browser.settle(below);
  return { server, tabs };
}

test(`${SEEDS} random lives`, async () => {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const { server, tabs } = await live(seed);
    const where = `seed ${seed}`;
    for (const tab of tabs) {
      const [first] = tab.updates;
      assert.deepEqual(tab.updates, Array.from({ length: server.last - first + 1 }, (_, n) => first + n), where);
      const { position } = tab.started;
      if (position) assert.equal(first, Number(position.slice(2)) + 1, where);
      assert.ok(!tab.log.some((line) => line.startsWith("gap")), where);
    }
    assert.equal(server.connections, Math.min(1, tabs.length), where);
    for (const tab of tabs) tab.client.close();
    assert.equal(server.connections, 0, where);
  }
});
