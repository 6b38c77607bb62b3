import assert from "node:assert/strict";
import { test } from "node:test";

import { FIGURES, readUpdate } from "../../web/update.js";

const PROMISED = {
  system_status: { status: "warning", uptime: 99.9, last_check: "2026-11-23T07:05:09Z", message: "Under load" },
  metrics: { cpu: 12.5, memory: 40.1, disk: 61, network: 3.2, response_time: null },
  activities: [{ time: "2026-11-23T07:05:09Z", message: "Test update", level: "error", css_class: "x" }],
  timestamp: "2026-11-23T07:05:09Z",
  published_at_ms: 1694041735123.4,
};
const AT = Date.UTC(2026, 10, 23, 7, 5, 9);

test("an update as the protocol promises it", () => {
  assert.deepEqual(readUpdate(PROMISED), {
    status: { health: "warning", message: "Under load", uptime: 99.9, checkedAt: AT },
    figures: { cpu: 12.5, memory: 40.1, disk: 61, network: 3.2, response_time: null },
    activities: [{ at: AT, message: "Test update", level: "error" }],
    publishedAt: 1694041735123.4,
    faults: 0,
  });
});

test("what an update does not have is no fault, and leaves the rest usable", () => {
  assert.deepEqual(readUpdate({ metrics: { disk: 55.5 } }), {
    figures: { cpu: null, memory: null, disk: 55.5, network: null, response_time: null },
    publishedAt: null,
    faults: 0,
  });
});

for (const other of [null, 7, "text", true, [], {}, { n: 1 }, { metrics: null }, JSON.parse('{"__proto__": {"metrics": {"cpu": 1}}}')]) {
  test(`another kind of update is one fault: ${JSON.stringify(other)}`, () => {
    assert.deepEqual(readUpdate(other), { publishedAt: null, faults: 1 });
  });
}

const faultsOf = (text) => readUpdate(JSON.parse(text)).faults;

test("values of another kind are counted one by one, and the others are used", () => {
  const reading = readUpdate(
    JSON.parse(`{
      "system_status": {"status": "constructor", "message": {"toString": 1}, "uptime": 1e999, "last_check": ["2026"]},
      "metrics": {"cpu": "12.5", "memory": "a lot", "disk": [1], "network": 1e999, "response_time": 2},
      "activities": [{"message": {"toString": 1}}, null, 7, [], {}, {"message": "kept", "level": "toString", "time": {"valueOf": 2}}],
      "published_at_ms": "soon"
    }`),
  );
  assert.deepEqual(reading.status, { health: null, message: "", uptime: null, checkedAt: null });
  assert.deepEqual(reading.figures, { cpu: 12.5, memory: null, disk: null, network: null, response_time: 2 });
  assert.deepEqual(reading.activities, [{ at: null, message: "kept", level: "info" }]);
  assert.equal(reading.publishedAt, null);
  assert.equal(reading.faults, 4 + 3 + 5 + 2 + 1);
});

test("a number in quotes is a number; anything else in quotes is not", () => {
  for (const text of ['"7"', '" -7.25 "']) assert.equal(faultsOf(`{"metrics": {"cpu": ${text}}}`), 0);
  for (const text of ['""', '"0x10"', '"1e3"', '"Infinity"', '"9"'.repeat(1).replace("9", "9".repeat(400))]) {
    assert.equal(faultsOf(`{"metrics": {"cpu": ${text}}}`), 1, text);
  }
});

test("parts of another kind than objects and lists", () => {
  assert.equal(faultsOf('{"metrics": [1], "activities": {"0": {"message": "x"}}, "system_status": "online"}'), 3);
});

test("what is on the prototype is not in the update", () => {
  const inherited = Object.create({ metrics: { cpu: 1 } });
  assert.equal(readUpdate(inherited).figures, undefined);
  assert.equal(faultsOf('{"metrics": {"__proto__": {"cpu": 1}}}'), 0);
  assert.equal(readUpdate(JSON.parse('{"metrics": {"__proto__": {"cpu": 1}}}')).figures.cpu, null);
});

test("long texts and lists are cut: a page cannot show them", () => {
  const long = "x".repeat(1_000_000);
  const reading = readUpdate({ system_status: { message: long }, activities: Array(5000).fill({ message: long }) });
  assert.equal(reading.status.message.length, 301);
  assert.equal(reading.activities.length, 10);
  assert.ok(reading.activities.every(({ message }) => message.length === 301));
});

/** Random JSON around the promised names, with everything that JSON can say in every place. */
function randomJson(random, depth = 0) {
  const pick = (from) => from[Math.floor(random() * from.length)];
  const scalar = () => pick([null, true, 0, -1, 1e308, "", "7", "1e999", "online", "info", "2026-11-23T07:05:09Z", "x".repeat(400)]);
  if (depth > 3 || random() < 0.3) return scalar();
  if (random() < 0.3) return Array.from({ length: Math.floor(random() * 4) }, () => randomJson(random, depth + 1));
  const names = [...FIGURES, "system_status", "metrics", "activities", "status", "message", "time", "level", "published_at_ms", "uptime", "toString", "valueOf", "length"];
  return Object.fromEntries(Array.from({ length: 6 }, () => [pick(names), randomJson(random, depth + 1)]));
}

test("no JSON makes it throw, or give out anything but texts and finite numbers", () => {
  let seed = 1;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  for (let round = 0; round < 1000; round += 1) {
    const reading = readUpdate(randomJson(random));
    const numbers = [reading.publishedAt, ...Object.values(reading.figures ?? {}), reading.status?.uptime ?? null, reading.status?.checkedAt ?? null];
    assert.ok(numbers.every((value) => value === null || Number.isFinite(value)));
    const texts = [reading.status?.message ?? "", ...(reading.activities ?? []).map(({ message }) => message)];
    assert.ok(texts.every((text) => typeof text === "string" && text.length <= 301));
  }
});
