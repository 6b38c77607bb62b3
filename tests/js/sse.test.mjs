/** What is SSE's own; what both transports promise is in connection.test.mjs. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { settle, start, startLive, WIRES } from "./wires.mjs";

const [sse] = WIRES;
const query = (source) => Object.fromEntries(source.url.searchParams);

test("the address names the stream, and the position when there is one", async () => {
  const { Kind } = await start(sse, { url: "http://host/dashboard/stream?x=1", stream: "a b" });
  assert.equal(Kind.latest.url.href, "http://host/dashboard/stream?x=1&stream=a+b");
  const { Kind: Other } = await start(sse, { stream: undefined, position: "k3f9-7" });
  assert.deepEqual(query(Other.latest), { last_event_id: "k3f9-7" });
});

test("the verdict's figures are handed on, as far as they are numbers", async () => {
  const { reported, client, Kind } = await start(sse, { position: "k3f9-5" });
  Kind.latest.receives("verdict", '{"verdict":"recovered","position":"k3f9-5","replaying":2,"missed":null}', "k3f9-5");
  Kind.latest.receives("verdict", '{"verdict":"gap","position":"k3f9-90","replaying":"2","missed":85}', "k3f9-90");
  assert.deepEqual(reported.verdicts, [
    { verdict: "recovered", position: "k3f9-5", replaying: 2, missed: undefined, transport: "sse" },
    { verdict: "gap", position: "k3f9-90", replaying: undefined, missed: 85, transport: "sse" },
  ]);
  assert.deepEqual(reported.names(), ["connecting", "live"], "a second verdict on one connection is no second start");
  assert.equal(client.stats.reconnects, 0);
});

test("a heartbeat does not move the position: only what was given out does", async () => {
  const { client, Kind } = await startLive(sse);
  Kind.latest.receives("heartbeat", '{"time":"now","position":"k3f9-9"}', "k3f9-9");
  assert.equal(client.position, "k3f9-7");
});

test("a stream that has ended, or was refused, is replaced: never two, and never the browser's own retry", async () => {
  for (const [readyState, reason] of [[0, "lost"], [2, "refused"]]) {
    const { reported, Kind, advance } = await startLive(sse);
    Kind.latest.fails(readyState);
    assert.equal(reported.last()[1].reason, reason);
    assert.equal(Kind.all[0].readyState, 2);
    await advance(500);
    assert.deepEqual([Kind.all.length, Kind.open], [2, 1]);
    assert.equal(query(Kind.latest).last_event_id, "k3f9-7");
  }
});

test("a `retry:` line is obeyed where the EventSource shows it", async () => {
  const { reported, Kind } = await startLive(sse);
  Kind.latest.retry = 4321;
  Kind.latest.fails(0);
  assert.equal(reported.last()[1].retryIn, 4321);
});

test("where it does not, the verdict says the same; a connection that was refused says nothing, and the delays grow", async () => {
  const { reported, Kind, advance } = await start(sse);
  Kind.latest.receives("verdict", '{"verdict":"fresh","position":"k3f9-5","retry_ms":2310}', "k3f9-5");
  Kind.latest.receives("verdict", '{"verdict":"gap","position":"k3f9-90"}', "k3f9-90");
  Kind.latest.fails(0);
  assert.equal(reported.last()[1].retryIn, 2310);
  await advance(2310);
  Kind.latest.fails(0);
  assert.equal(reported.last()[1].retryIn, 500);
});

test("statuses that forbid coming back end it, where the EventSource tells them", async () => {
  const cases = [[204, "closed", "ended"], [401, "closed", "unauthorized"], [403, "closed", "unauthorized"], [404, "waiting", "refused"], [503, "waiting", "refused"]];
  for (const [status, state, reason] of cases) {
    const { reported, Kind } = await start(sse);
    Kind.latest.fails(2, { status });
    assert.deepEqual([reported.last()[0], reported.last()[1].reason, reported.last()[1].status], [state, reason, status]);
  }
  const { reported, Kind } = await start(sse, { ticket: () => "t" });
  Kind.latest.fails(2, { status: 401 });
  assert.equal(reported.last()[0], "waiting", "another ticket may open it");
});

test("what is no JSON is counted, and its position kept, or it would be sent again", async () => {
  const { reported, client, Kind } = await startLive(sse);
  Kind.latest.receives("message", "{", "k3f9-8");
  assert.deepEqual([reported.ignored, client.stats.ignored, client.position], [["bad_json"], 1, "k3f9-8"]);
  Kind.latest.receives("message", "null", "k3f9-9");
  assert.deepEqual(reported.updates, [[null, "k3f9-9"]]);
});

test("verdicts and goodbyes of a strange shape throw nothing", async () => {
  for (const data of ["", "null", "[]", "7", '{"verdict":{"toString":1},"position":{},"missed":"1e999","retry_ms":{}}', '{"__proto__":{"verdict":1}}']) {
    const { client, Kind, reported } = await start(sse);
    Kind.latest.receives("verdict", data);
    assert.deepEqual([client.state, client.position, reported.verdicts.length], ["live", "", 1], data);
    Kind.latest.receives("goodbye", data);
    assert.equal(client.state, "waiting");
  }
});

test("an event that the server names `error` is not the end", async () => {
  const { client, Kind, reported } = await startLive(sse);
  Kind.latest.fails(1);
  assert.equal(client.state, "live");
  assert.deepEqual(reported.ignored, ["unknown_type"]);
});

test("when its ticket has ended it stops, unless it fetches another", async () => {
  const { clock, reported, Kind } = await startLive(sse);
  Kind.latest.receives("goodbye", '{"reason":"token_expired","retry_ms":2310}');
  assert.deepEqual(reported.last(), ["closed", { transport: "sse", reason: "token_expired", final: true }]);
  assert.equal(clock.pending, 0);

  const fetching = await startLive(sse, { ticket: () => "t" });
  fetching.Kind.latest.receives("goodbye", '{"reason":"token_expired","retry_ms":2310}');
  assert.deepEqual(fetching.reported.last(), ["waiting", { transport: "sse", reason: "token_expired", retryIn: 2310 }]);
  await settle();
});
