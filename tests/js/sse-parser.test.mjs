import assert from "node:assert/strict";
import { test } from "node:test";

import { createSseParser } from "../../web/client/sse-parser.js";
import { EVENT_STREAMS } from "./event-streams.mjs";

function parse(chunks, options = {}) {
  const parsed = { events: [], retry: undefined, id: options.lastEventId };
  const parser = createSseParser({
    ...options,
    onEvent: (event) => parsed.events.push(event),
    onRetry: (ms) => (parsed.retry = ms),
    onId: (id) => (parsed.id = id),
  });
  for (const chunk of chunks) parser.feed(chunk);
  return parsed;
}

const bytesOf = (text) => new TextEncoder().encode(text);

for (const { name, stream, ...expected } of EVENT_STREAMS) {
  const bytes = bytesOf(stream);
  const check = (chunks, how) => {
    const parsed = parse(chunks);
    assert.deepEqual(parsed.events, expected.events, how);
    if ("retry" in expected) assert.equal(parsed.retry, expected.retry, how);
    if ("id" in expected) assert.equal(parsed.id ?? "", expected.id, how);
  };

  test(`${name}: whole, byte by byte, and cut at each byte`, () => {
    check([bytes], "whole");
    check([...bytes].map((byte) => Uint8Array.of(byte)), "byte by byte");
    for (let cut = 0; cut <= bytes.length; cut += 1) check([bytes.subarray(0, cut), bytes.subarray(cut)], `cut at ${cut}`);
  });
}

test("every end of line means the same", () => {
  const block = "event:a\nid:1\n:x\ndata:1\ndata:2\n\ndata:3\n\n";
  const expected = parse([bytesOf(block)]).events;
  for (const end of ["\r", "\r\n"]) {
    const bytes = bytesOf(block.replaceAll("\n", end));
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      assert.deepEqual(parse([bytes.subarray(0, cut), bytes.subarray(cut)]).events, expected);
    }
  }
});

test("an event is given out as soon as its line has ended, also by a carriage return that may have a line feed behind it", () => {
  assert.equal(parse([bytesOf("data:1\r\r")]).events.length, 1);
  assert.deepEqual(parse([bytesOf("data:1\r\n\r"), bytesOf("\ndata:2\r\n\r\n")]).events.map(({ data }) => data), ["1", "2"]);
  assert.deepEqual(parse([bytesOf("data:1\r"), bytesOf(""), bytesOf("\ndata:2\n\n")]).events.map(({ data }) => data), ["1\n2"]);
});

test("bytes that are no UTF-8 become replacement characters", () => {
  assert.deepEqual(parse([Uint8Array.of(...bytesOf("data:"), 0xff, 0xe2, 0x0a, 0x0a)]).events[0].data, "\uFFFD\uFFFD");
});

test("the id of the connection before holds until the stream names another", () => {
  const { events } = parse([bytesOf("data:1\n\nid:8\ndata:2\n\n")], { lastEventId: "7" });
  assert.deepEqual(events.map(({ lastEventId }) => lastEventId), ["7", "8"]);
});

test("the id is told before the event that it belongs to", () => {
  const told = [];
  const parser = createSseParser({ onEvent: () => told.push("event"), onId: (id) => told.push(id) });
  parser.feed(bytesOf("id:7\ndata:1\n\n"));
  assert.deepEqual(told, ["7", "event"]);
});
