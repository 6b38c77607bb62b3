/** The address and the ticket of each attempt, on both transports. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { create, settle, start, startLive, WIRES } from "./wires.mjs";

/** A function that answers t1, t2, … */
function counting(text = "t") {
  let number = 0;
  return () => Promise.resolve(`${text}${(number += 1)}`);
}

const sent = ({ Kind }) => Kind.all.map(({ url }) => url.searchParams.get("ticket"));

for (const wire of WIRES) {
  const it = (what, body) => test(`${wire.name}: ${what}`, body);

  it("without a ticket the address has none; a text is sent as it is", async () => {
    assert.deepEqual(sent(await start(wire)), [null]);
    assert.deepEqual(sent(await start(wire, { ticket: "a.b-c_d" })), ["a.b-c_d"]);
  });

  it("functions are asked for each attempt", async () => {
    const parts = await startLive(wire, { url: counting("http://host/"), ticket: counting() });
    wire.breaks(parts.Kind.latest);
    await parts.advance(500);
    assert.deepEqual(sent(parts), ["t1", "t2"]);
    assert.deepEqual(parts.Kind.all.map(({ url }) => url.pathname), ["/1", "/2"]);
    assert.equal(wire.resumesFrom(parts.Kind.latest), "k3f9-7");
  });

  it("an address may be a URL, or one of the page; a function may answer at once", async () => {
    for (const url of [new URL("http://host/x"), "/x", "x", () => "/x", () => new URL("http://host/x")]) {
      const { Kind } = await start(wire, { url });
      assert.equal(Kind.latest.url.host + Kind.latest.url.pathname, "host/x");
    }
  });

  it("the app's URL object is left as it is", async () => {
    const url = new URL("http://host/x");
    await start(wire, { url, ticket: "t", position: "k3f9-7" });
    assert.equal(url.href, "http://host/x");
  });

  it("a function that fails is asked again, after a delay", async () => {
    for (const [option, reason] of [["ticket", "no_ticket"], ["url", "no_url"]]) {
      const answers = [() => Promise.reject(new Error("offline")), () => "http://host/2"];
      const parts = await start(wire, { [option]: () => answers.shift()() });
      const [state, detail] = parts.reported.last();
      assert.deepEqual([state, detail.reason, detail.message, detail.retryIn], ["waiting", reason, "offline", 500]);
      await parts.advance(500);
      assert.equal(parts.Kind.all.length, 1);
    }
  });

  it("whatever it throws, it is asked again", async () => {
    for (const thrown of [undefined, null, "text", 7, { reconnect: "no" }]) {
      const { reported } = await start(wire, { ticket: () => Promise.reject(thrown) });
      assert.equal(reported.last()[0], "waiting");
    }
  });

  it("a refusal that lasts ends it", async () => {
    const refusal = Object.assign(new Error("not allowed"), { reconnect: false });
    const { clock, page, reported } = await start(wire, { ticket: () => Promise.reject(refusal) });
    const [state, { reason, message, final }] = reported.last();
    assert.deepEqual([state, reason, message, final], ["closed", "no_ticket", "not allowed", true]);
    assert.deepEqual([clock.pending, page.listeners], [0, 0]);
  });

  it("an address that is none ends it; a function may name another", async () => {
    const { reported } = await start(wire, { url: "http://" });
    assert.deepEqual([reported.last()[0], reported.last()[1].reason], ["closed", "bad_url"]);
    const again = await start(wire, { url: () => "http://" });
    assert.deepEqual([again.reported.last()[0], again.reported.last()[1].reason], ["waiting", "bad_url"]);
  });

  it("a ticket that comes after close() opens nothing", async () => {
    let give;
    const { client, Kind } = await start(wire, { ticket: () => new Promise((resolve) => (give = resolve)) });
    client.close();
    give("late");
    await settle();
    assert.equal(Kind.all.length, 0);
  });

  it("close() on being told of the attempt asks for no ticket, which would be used up", async () => {
    let asked = 0;
    const { client, Kind } = create(wire, { ticket: () => `t${(asked += 1)}`, onState: () => client.close() });
    await settle();
    assert.deepEqual([asked, Kind.all.length], [0, 0]);
  });

  it("a ticket of an attempt that was given up opens nothing beside the next", async () => {
    const gives = [];
    const { client, Kind } = await start(wire, { ticket: () => new Promise((resolve) => gives.push(resolve)) });
    client.reconnect();
    await settle();
    gives[0]("old");
    await settle();
    assert.equal(Kind.all.length, 0);
    gives[1]("new");
    await settle();
    assert.equal(Kind.latest.url.searchParams.get("ticket"), "new");
    assert.equal(Kind.all.length, 1);
  });

  it("a function that never answers is given up, and asked again", async () => {
    const answers = [new Promise(() => {}), "t2"];
    const parts = create(wire, { ticket: () => answers.shift() });
    for (let second = 0; second < 60 && parts.Kind.all.length === 0; second += 1) await parts.advance(1000);
    assert.deepEqual(sent(parts), ["t2"]);
  });
}
