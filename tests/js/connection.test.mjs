/** What the clients of both transports promise alike: states, delays, the watchdog, the page's life, callbacks, an end without a rest. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { create, settle, start, startLive, WIRES } from "./wires.mjs";

for (const wire of WIRES) {
  const { name } = wire;
  const it = (what, body) => test(`${name}: ${what}`, body);
  const last = ({ reported }) => reported.last();

  // --- states

  it("it connects at once, but tells nothing before the app has the client", async () => {
    const { client, Kind, reported } = create(wire);
    assert.deepEqual([client.state, reported.states], ["connecting", []]);
    await settle();
    assert.deepEqual(reported.states, [["connecting", { transport: name }]]);
    assert.equal(client.state, "connecting");
    assert.equal(Kind.all.length, 1);
  });

  it("it is live once the verdict has come", async () => {
    const { reported, client, Kind } = await start(wire, { position: "k3f9-5" });
    assert.equal(wire.resumesFrom(Kind.latest), "k3f9-5");
    wire.tells(Kind.latest, "gap", "k3f9-7");
    assert.deepEqual([client.state, client.position, client.transport], ["live", "k3f9-7", name]);
    assert.deepEqual(reported.names(), ["connecting", "live"]);
    assert.deepEqual(last({ reported })[1], { transport: name });
    assert.equal(reported.verdicts.length, 1);
    const { verdict, position, transport } = reported.verdicts[0];
    assert.deepEqual([verdict, position, transport], ["gap", "k3f9-7", name]);
  });

  it("updates are given out with their positions, and counted", async () => {
    const { reported, client, Kind } = await startLive(wire);
    wire.updates(Kind.latest, { a: 1 }, "k3f9-8");
    wire.updates(Kind.latest, "text", "k3f9-9");
    wire.updates(Kind.latest, null, "k3f9-10");
    assert.deepEqual(reported.updates, [[{ a: 1 }, "k3f9-8"], ["text", "k3f9-9"], [null, "k3f9-10"]]);
    assert.equal(client.position, "k3f9-10");
    const { updates, duplicates, bytes } = client.stats;
    assert.deepEqual([updates, duplicates], [3, 0]);
    assert.ok(bytes >= '{"a":1}"text"null'.length);
  });

  it("what comes a second time is dropped", async () => {
    const { reported, client, Kind } = await startLive(wire);
    for (const id of [8, 9, 8, 9, 7, 10]) wire.updates(Kind.latest, id, `k3f9-${id}`);
    assert.deepEqual(reported.updates.map(([id]) => id), [8, 9, 10]);
    assert.equal(client.stats.duplicates, 3);
  });

  it("a recovered client's position moves with the replay, so that a connection lost before it skips nothing", async () => {
    const { client, Kind } = await start(wire, { position: "k3f9-5" });
    wire.tells(Kind.latest, "recovered", "k3f9-9");
    assert.equal(client.position, "k3f9-5");
    wire.updates(Kind.latest, {}, "k3f9-6");
    assert.equal(client.position, "k3f9-6");
  });

  it("after a gap the cursor is the server's, also when that is an older one or another epoch's", async () => {
    for (const position of ["k3f9-3", "next-0"]) {
      const { reported, client, Kind } = await start(wire, { position: "k3f9-50" });
      wire.tells(Kind.latest, "gap", position);
      assert.equal(client.position, position);
      const [epoch, id] = position.split("-");
      wire.updates(Kind.latest, "after", `${epoch}-${Number(id) + 1}`);
      assert.equal(reported.updates.length, 1);
    }
  });

  it("a server without verdicts is fresh at first, and leaves a gap each time after that", async () => {
    const { reported, Kind, advance } = await start(wire);
    wire.tells(Kind.latest, undefined, undefined);
    wire.breaks(Kind.latest);
    await advance(1000);
    wire.tells(Kind.latest, "nonsense", 7);
    assert.deepEqual(reported.verdicts.map(({ verdict }) => verdict), ["fresh", "gap"]);
  });

  it("a gap without a position keeps nothing of the old one, or all that follows might be dropped", async () => {
    const { reported, Kind } = await start(wire, { position: "k3f9-50" });
    wire.tells(Kind.latest, "gap", undefined);
    wire.updates(Kind.latest, "after", "k3f9-3");
    assert.deepEqual(reported.updates, [["after", "k3f9-3"]]);
  });

  // --- losses

  it("after a loss it waits, comes back with its position, and counts that", async () => {
    const { reported, client, Kind, advance } = await startLive(wire);
    wire.updates(Kind.latest, {}, "k3f9-12");
    wire.breaks(Kind.latest);
    const [state, { reason, retryIn }] = reported.last();
    assert.deepEqual([state, reason, retryIn], ["waiting", "lost", 500]);
    assert.equal(Kind.open, 0);
    await advance(500);
    assert.equal(wire.resumesFrom(Kind.latest), "k3f9-12");
    wire.tells(Kind.latest, "recovered", "k3f9-12");
    assert.deepEqual(reported.names(), ["connecting", "live", "waiting", "connecting", "live"]);
    assert.equal(client.stats.reconnects, 1);
  });

  it("delays grow while nothing answers, and never end", async () => {
    const { reported, Kind, advance } = await start(wire, { platform: { random: () => 1 } });
    const delays = [];
    for (let attempt = 0; attempt < 8; attempt += 1) {
      wire.breaks(Kind.latest);
      delays.push(reported.last()[1].retryIn);
      await advance(delays.at(-1));
    }
    assert.deepEqual(delays, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  });

  it("they are reset after ten seconds of health, and not by a connection that drops at once", async () => {
    const { reported, Kind, advance } = await start(wire, { platform: { random: () => 1 } });
    for (const expected of [1000, 2000, 4000]) {
      wire.tells(Kind.latest, "fresh", "k3f9-7");
      wire.breaks(Kind.latest);
      assert.equal(reported.last()[1].retryIn, expected);
      await advance(expected);
    }
    wire.tells(Kind.latest, "fresh", "k3f9-7");
    for (let beat = 0; beat < 5; beat += 1) {
      await advance(2000);
      wire.beats(Kind.latest);
    }
    wire.breaks(Kind.latest);
    assert.equal(reported.last()[1].retryIn, 1000);
  });

  it("a server that says when is obeyed, within limits, and whatever else it says is not", async () => {
    const cases = [[2310, 2310], [0, 100], [-5, 100], [1e15, 600_000], ["1", 500], [null, 500], [undefined, 500]];
    for (const [said, waited] of cases) {
      const { reported, Kind, advance } = await startLive(wire);
      wire.leaves(Kind.latest, "server_restart", said);
      const [state, { reason, retryIn }] = reported.last();
      assert.deepEqual([state, reason, retryIn], ["waiting", "server_restart", waited], String(said));
      await advance(waited - 1);
      assert.equal(Kind.all.length, 1);
      await advance(1);
      assert.equal(Kind.all.length, 2);
    }
  });

  it("an announced end does not make the next delay longer", async () => {
    const { reported, Kind, advance } = await startLive(wire, { platform: { random: () => 1 } });
    wire.leaves(Kind.latest, "server_restart", 2000);
    await advance(2000);
    wire.breaks(Kind.latest);
    assert.equal(reported.last()[1].retryIn, 1000);
  });

  it("a reason that is no text is none", async () => {
    const { reported, Kind } = await startLive(wire);
    wire.leaves(Kind.latest, { toString: 1 }, 500);
    assert.equal(reported.last()[1].reason, "lost");
  });

  it("what a connection reports after its end does not touch its successor", async () => {
    const { reported, client, Kind, advance } = await startLive(wire);
    const [first] = Kind.all;
    const { onmessage, onclose } = first;
    client.reconnect();
    await settle();
    if (name === "cable") Object.assign(first, { onmessage, onclose });
    wire.updates(first, "late", "k3f9-99");
    wire.breaks(first);
    assert.deepEqual(reported.updates, []);
    assert.equal(client.state, "connecting");
    await advance(60_000);
    assert.equal(client.position, "k3f9-7");
  });

  it("reconnect() comes back without a delay", async () => {
    const { reported, client, Kind } = await startLive(wire);
    client.reconnect();
    assert.deepEqual(reported.last(), ["connecting", { transport: name, reason: "reconnect" }]);
    await settle();
    assert.equal(Kind.all.length, 2);
    assert.equal(Kind.open, 1);
    assert.equal(wire.resumesFrom(Kind.latest), "k3f9-7");
  });

  it("an address that the browser refuses closes it, with the browser's words", async () => {
    const Kind = class {
      constructor() {
        throw new SyntaxError("bad address");
      }
    };
    const { clock, page, reported } = await start(wire, { platform: { EventSource: Kind, WebSocket: Kind } });
    const [state, { reason, message, final }] = reported.last();
    assert.deepEqual([state, reason, message, final], ["closed", "bad_url", "bad address", true]);
    assert.deepEqual([clock.pending, page.listeners], [0, 0]);
  });

  it("without the browser's part it says so at once", async () => {
    await assert.rejects(start(wire, { platform: { EventSource: undefined, WebSocket: undefined } }), {
      name: "TypeError", message: /^There is no (EventSource|WebSocket) here: pass one/,
    });
  });

  // --- silence

  it("silence makes it stale, then it is replaced", async () => {
    const { reported, client, Kind, advance } = await startLive(wire);
    await advance(wire.staleAfter - 1);
    assert.equal(client.state, "live");
    await advance(1);
    assert.equal(client.state, "stale");
    assert.equal(Kind.open, 1);
    await advance(wire.lostAfter - wire.staleAfter - 1);
    assert.equal(client.state, "stale");
    await advance(1);
    const [state, { reason, retryIn }] = reported.last();
    assert.deepEqual([state, reason], ["waiting", "silence"]);
    assert.equal(Kind.open, 0);
    await advance(retryIn);
    assert.equal(wire.resumesFrom(Kind.latest), "k3f9-7");
  });

  it("a sign of life makes a stale one live again", async () => {
    const { reported, client, Kind, advance } = await startLive(wire);
    await advance(wire.staleAfter);
    assert.equal(client.state, "stale");
    wire.beats(Kind.latest);
    assert.equal(client.state, "live");
    assert.deepEqual(reported.names(), ["connecting", "live", "stale", "live"]);
    assert.equal(client.stats.reconnects, 0);
    await advance(wire.staleAfter);
    assert.equal(client.state, "stale");
  });

  it("heartbeats keep a quiet connection live", async () => {
    const { client, Kind, advance } = await startLive(wire);
    for (let beat = 0; beat < 20; beat += 1) {
      await advance(wire.staleAfter / 2);
      wire.beats(Kind.latest);
    }
    assert.deepEqual([client.state, Kind.all.length], ["live", 1]);
  });

  it("an attempt that brings nothing is replaced, but is granted the 5 s for which Chromium may hold it back, and as many more", async () => {
    for (const lostAfter of [undefined, 200]) {
      const { client, Kind, advance } = await startLive(wire, { lostAfter });
      client.reconnect();
      await advance(Math.max(lostAfter ?? wire.lostAfter, 10_000) - 1);
      assert.equal(client.state, "connecting");
      await advance(1);
      assert.equal(client.state, "waiting");
      await advance(500);
      assert.deepEqual([Kind.all.length, Kind.open], [3, 1]);
    }
  });

  for (const change of [-3_600_000, 3_600_000]) {
    it(`a clock that is set by ${change} ms does not touch the watchdog`, async (t) => {
      const { client, advance } = await startLive(wire);
      const before = Date.now();
      t.mock.method(Date, "now", () => before + change);
      await advance(wire.staleAfter - 1);
      assert.equal(client.state, "live");
      await advance(1);
      assert.equal(client.state, "stale");
    });
  }

  it("limits may be set, and Infinity is never", async () => {
    const { client, advance } = await startLive(wire, { staleAfter: Infinity, lostAfter: Infinity, hiddenLimit: Infinity });
    await advance(2 ** 32);
    assert.equal(client.state, "live");
    const short = await startLive(wire, { staleAfter: 100, lostAfter: 200 });
    await short.advance(100);
    assert.equal(short.client.state, "stale");
    const never = await startLive(wire, { staleAfter: 5000, lostAfter: 200 });
    await never.advance(200);
    assert.deepEqual(never.reported.names(), ["connecting", "live", "waiting"]);
  });

  it("after the machine slept there is time to read what was sent meanwhile", async () => {
    const { clock, client, Kind, advance } = await startLive(wire);
    clock.sleep(3_600_000);
    assert.equal(client.state, "live");
    await advance(1000);
    wire.beats(Kind.latest);
    await advance(wire.staleAfter - 1);
    assert.equal(client.state, "live");
  });

  it("after the machine slept a dead connection is found within two seconds", async () => {
    const { clock, client, advance } = await startLive(wire);
    clock.sleep(3_600_000);
    await advance(2000);
    assert.equal(client.state, "waiting");
  });

  it("a dead connection is found where each timer is late, as in a hidden tab", async () => {
    const { clock, client } = await startLive(wire);
    for (let minute = 0; minute < 3; minute += 1) clock.sleep(60_000);
    assert.notEqual(client.state, "live");
  });

  // --- the page

  it("the network is back: it tries at once", async () => {
    const { page, reported, Kind, advance } = await start(wire, { platform: { random: () => 1 } });
    page.goesOffline();
    wire.breaks(Kind.latest);
    assert.deepEqual(reported.last(), ["waiting", { transport: name, status: name === "cable" ? 1006 : undefined, reason: "offline", retryIn: 1000 }]);
    page.comesOnline();
    await settle();
    assert.equal(Kind.all.length, 2);
    wire.breaks(Kind.latest);
    assert.equal(reported.last()[1].retryIn, 1000);
    await advance(1000);
    assert.equal(Kind.all.length, 3);
  });

  it("a browser that says there is no network may be wrong: attempts go on", async () => {
    const { page, Kind, advance } = await start(wire);
    page.goesOffline();
    wire.breaks(Kind.latest);
    await advance(500);
    assert.equal(Kind.all.length, 2);
  });

  it("a connection of the network before is replaced, though it looks open", async () => {
    const { page, reported, Kind } = await startLive(wire);
    page.comesOnline();
    await settle();
    assert.deepEqual([Kind.all.length, Kind.open], [2, 1]);
    assert.equal(reported.last()[1].reason, "online");
  });

  it("a page that is hidden for longer than the limit pauses, and resumes when it is seen", async () => {
    const { clock, page, reported, Kind, advance } = await startLive(wire, { hiddenLimit: 4000 });
    page.hides();
    await advance(3999);
    assert.equal(Kind.open, 1);
    await advance(1);
    assert.deepEqual(reported.last(), ["waiting", { transport: name, reason: "hidden" }]);
    assert.deepEqual([Kind.open, clock.pending], [0, 0]);
    page.comesOnline();
    await advance(3_600_000);
    assert.equal(Kind.all.length, 1);
    page.shows();
    await settle();
    assert.equal(wire.resumesFrom(Kind.latest), "k3f9-7");
  });

  it("a page that is hidden for less keeps its connection", async () => {
    const { page, Kind, advance } = await startLive(wire, { hiddenLimit: 4000 });
    page.hides();
    await advance(3999);
    page.shows();
    await advance(10);
    assert.deepEqual([Kind.all.length, Kind.open], [1, 1]);
  });

  it("one that starts hidden pauses too; with Infinity none does", async () => {
    for (const [hiddenLimit, open] of [[4000, 0], [Infinity, 1]]) {
      const parts = await startLive(wire, { hiddenLimit, staleAfter: Infinity, lostAfter: Infinity });
      parts.page.hides();
      await parts.advance(10_000);
      assert.equal(parts.Kind.open, open);
    }
    const page = { document: Object.assign(new EventTarget(), { hidden: true }) };
    const { Kind, advance } = await start(wire, { hiddenLimit: 4000, platform: page });
    await advance(4000);
    assert.equal(Kind.open, 0);
  });

  it("becoming seen ends a delay, and replaces a stale connection", async () => {
    const { page, client, Kind, advance } = await start(wire);
    wire.breaks(Kind.latest);
    page.shows();
    await settle();
    assert.equal(Kind.all.length, 2);
    wire.tells(Kind.latest, "fresh", "k3f9-7");
    page.shows();
    await settle();
    assert.equal(Kind.all.length, 2);
    await advance(wire.staleAfter);
    assert.equal(client.state, "stale");
    page.shows();
    await settle();
    assert.deepEqual([Kind.all.length, Kind.open], [3, 1]);
  });

  it("a page that is seen after a sleep does not wait for the watchdog", async () => {
    const { clock, page, Kind, advance } = await startLive(wire);
    page.hides();
    clock.time += wire.lostAfter; // no timer has fired yet
    page.shows();
    await settle();
    assert.deepEqual([Kind.all.length, Kind.open], [2, 1]);
    await advance(1);
    page.shows();
    await settle();
    assert.equal(Kind.all.length, 2);
  });

  it("a page in the back-forward cache holds no connection, and wants it again when it comes back", async () => {
    const { page, Kind, client } = await startLive(wire);
    page.window.emits("pagehide", { persisted: true });
    assert.deepEqual([Kind.open, client.state], [0, "waiting"]);
    page.window.emits("pageshow", { persisted: true });
    await settle();
    assert.equal(wire.resumesFrom(Kind.latest), "k3f9-7");
  });

  it("a frozen page holds none either; it comes back when it is thawed and seen", async () => {
    const { page, Kind } = await startLive(wire);
    page.hides();
    page.document.emits("freeze");
    assert.equal(Kind.open, 0);
    page.document.emits("resume");
    await settle();
    assert.equal(Kind.open, 0);
    page.shows();
    await settle();
    assert.equal(Kind.open, 1);
    const never = await startLive(wire, { hiddenLimit: Infinity });
    never.page.hides();
    never.page.document.emits("freeze");
    never.page.document.emits("resume");
    await settle();
    assert.equal(never.Kind.open, 1);
  });

  it("it runs without a page, as in Node or a worker", async () => {
    const { Kind, client } = await startLive(wire, { platform: { window: undefined, document: undefined } });
    assert.deepEqual([Kind.open, client.state], [1, "live"]);
  });

  // --- callbacks

  it("a callback that throws breaks nothing, and is reported", async (t) => {
    const report = t.mock.method(console, "error", () => {});
    const thrown = () => {
      throw new Error("the app's");
    };
    const { client, Kind, advance } = await start(wire, {
      onState: thrown, onVerdict: thrown, onUpdate: thrown, onIgnored: thrown,
    });
    wire.tells(Kind.latest, "fresh", "k3f9-7");
    wire.updates(Kind.latest, {}, "k3f9-8");
    wire.updates(Kind.latest, {}, "k3f9-9");
    wire.breaks(Kind.latest);
    await advance(500);
    wire.tells(Kind.latest, "recovered", "k3f9-9");
    assert.deepEqual([client.state, client.stats.updates], ["live", 2]);
    assert.equal(report.mock.callCount(), 9);
  });

  it("it runs without any callback", async () => {
    const none = { onState: undefined, onVerdict: undefined, onUpdate: undefined, onIgnored: undefined };
    const { client, Kind } = await startLive(wire, none);
    wire.updates(Kind.latest, {}, "k3f9-8");
    assert.equal(client.position, "k3f9-8");
  });

  for (const callback of ["onState", "onVerdict", "onUpdate"]) {
    it(`close() within ${callback} ends it there`, async () => {
      const { clock, page, reported, client, Kind } = await start(wire, {
        [callback]: (what) => what === "connecting" || client.close(),
      });
      wire.tells(Kind.latest, "fresh", "k3f9-7");
      wire.updates(Kind.latest, 1, "k3f9-8");
      wire.updates(Kind.latest, 2, "k3f9-9");
      assert.deepEqual([client.state, Kind.open, clock.pending, page.listeners], ["closed", 0, 0, 0]);
      assert.deepEqual(reported.updates, []);
      assert.equal(reported.verdicts.length, callback === "onUpdate" ? 1 : 0);
    });
  }

  // --- the end

  it("close() leaves no timer, no listener and no connection, at any time", async () => {
    const moments = {
      "before the first attempt": (parts) => parts,
      connecting: () => settle(),
      live: async ({ Kind }) => {
        await settle();
        wire.tells(Kind.latest, "fresh", "k3f9-7");
      },
      stale: async ({ Kind, clock }) => {
        await settle();
        wire.tells(Kind.latest, "fresh", "k3f9-7");
        clock.advance(wire.staleAfter);
      },
      waiting: async ({ Kind }) => {
        await settle();
        wire.breaks(Kind.latest);
      },
      "hidden for a while": async ({ page }) => {
        await settle();
        page.hides();
      },
      paused: async ({ page, clock }) => {
        await settle();
        page.hides();
        clock.advance(300_000);
      },
    };
    for (const [moment, reach] of Object.entries(moments)) {
      const parts = create(wire);
      await reach(parts);
      const { clock, page, client, Kind, reported } = parts;
      client.close();
      client.close();
      assert.deepEqual([client.state, clock.pending, page.listeners, Kind.open], ["closed", 0, 0, 0], moment);
      assert.deepEqual(reported.last(), ["closed", { transport: name, reason: "closed" }], moment);
      const attempts = Kind.all.length;
      page.comesOnline();
      page.shows();
      client.reconnect();
      await settle();
      clock.advance(3_600_000);
      await settle();
      assert.equal(Kind.all.length, attempts, moment);
      assert.equal(reported.names().filter((state) => state === "closed").length, 1, moment);
    }
  });

  it("a hundred reconnects leave nothing behind", async () => {
    const { clock, page, client, Kind } = await startLive(wire);
    const { pending } = clock;
    const { listeners } = page;
    for (let round = 0; round < 100; round += 1) {
      client.reconnect();
      await settle();
      wire.tells(Kind.latest, "recovered", "k3f9-7");
    }
    assert.deepEqual([clock.pending, page.listeners, Kind.open], [pending, listeners, 1]);
    assert.equal(client.stats.reconnects, 100);
  });
}
