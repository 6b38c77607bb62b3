/** docs/calculator: its model held against rows that it was not made from, and its arithmetic with coefficients that can be followed by hand. */
import assert from "node:assert/strict";
import { test } from "node:test";

for (const part of ["coefficients", "plans", "model", "fit", "difference", "words"]) await import(`../../docs/calculator/${part}.js`);
const { coefficients, plans, model, fit, difference, words } = globalThis.calculator;

const LOAD = { clients: 1000, rate: 1, size: 350, burst: 1, reconnects: 0 };
const ASSUMED = { streams: 1500, sharedCores: 1, coreShare: 0.6, memoryShare: 0.8 };
const MONTH = (365.25 / 12) * 86_400;
const near = (found, wanted) => assert.ok(Math.abs(found - wanted) <= 1e-9 * Math.abs(wanted), `${found} is not ${wanted}`);
const fixed = (value, more = {}) => ({ value, low: value, high: value, ...more });

/** Round numbers for both transports alike. */
function handmade(changed = {}) {
  const each = (key) => ({
    [`memory-${key}`]: fixed(2),
    [`kernel-${key}`]: fixed(4),
    [`idle-${key}`]: fixed(0),
    [`connect-${key}`]: fixed(100),
    [`pause-${key}`]: fixed(0, { clients: 1000, rate: 5 }),
    [`write-1000-${key}`]: fixed(10, { clients: 1000, rate: 20 }),
    [`write-16000-${key}`]: fixed(20, { clients: 16_000, rate: 2 }),
    [`byte-${key}`]: fixed(1),
    [`update-bytes-${key}`]: fixed(20),
    [`write-bytes-${key}`]: fixed(5),
    [`beat-bytes-${key}`]: fixed(30),
    [`beat-seconds-${key}`]: fixed(10),
  });
  const shared = { base: fixed(1024), publish: fixed(2000), relay: fixed(500), "position-bytes": fixed(50) };
  const measured = { clients: 16_000, rate: 1, size: 350, write: 40_000, deliveries: 80_000 };
  return { measured, values: { ...shared, ...each("sse"), ...each("cable"), ...changed } };
}

test("each row that no coefficient was taken from lies in the model's range", () => {
  assert.ok(coefficients.checks.length >= 6);
  for (const { file, transport, inputs, cores } of coefficients.checks) {
    const { low, high } = model.cores(coefficients, { ...LOAD, ...inputs }, transport, 1);
    assert.ok(low <= cores.value && cores.value <= high, `${file} ${transport}: ${cores.value} is not in ${low} to ${high}`);
  }
});

test("no check is a row that a coefficient was taken from", () => {
  const used = Object.values(coefficients.values).flatMap(({ from }) => (Array.isArray(from) ? from : []));
  for (const { file, transport } of coefficients.checks) {
    const rows = used.filter((one) => one.file === file).map(({ of }) => of);
    assert.ok(!rows.some((of) => of.startsWith(`app ${transport}`)), `${file} ${transport} is used for ${rows}`);
  }
});

test("at a measured point the model says what was measured", () => {
  for (const transport of ["sse", "cable"]) {
    const { value, clients, rate } = coefficients.values[`write-1000-${transport}`];
    const idle = clients * coefficients.values[`idle-${transport}`].value;
    near(model.cores(coefficients, { ...LOAD, clients, rate }, transport, 1).value, (clients * rate * value + idle) / 1e6);
  }
});

test("a value lies in its range, and more of a load never takes less", () => {
  for (const clients of [1, 700, 1000, 9000, 50_000])
    for (const rate of [0, 0.1, 7, 300])
      for (const burst of [1, 40])
        for (const processes of [1, 2, 9])
          for (const transport of model.TRANSPORTS) {
            const load = { clients, rate, burst, size: 900, reconnects: 0.3 };
            const found = model.estimate(coefficients, load, transport, processes);
            const doubled = { clients: clients * 2, rate: rate * 2, burst, size: 1800, reconnects: 0.6 };
            const more = model.estimate(coefficients, doubled, transport, processes);
            for (const name of ["memory", "cores", "egress", "takeIn"]) {
              const { low, value, high } = found[name];
              assert.ok(low <= value && value <= high, `${name} of ${JSON.stringify({ ...load, transport, processes })}: ${low} ${value} ${high}`);
              assert.ok(more[name].value >= value && more[name].high >= high, `${name} falls`);
            }
          }
});

test("memory is the processes' and the connections'; the kernel's is at the high end", () => {
  assert.deepEqual(model.memory(handmade(), LOAD, "sse", 3), { value: 3 + 2000 / 1024, low: 3 + 2000 / 1024, high: 3 + 6000 / 1024 });
});

test("egress is updates with what is around them, and heartbeats; heads of packets and records are at the high end", () => {
  const { value, high } = model.egress(handmade(), { ...LOAD, rate: 3 }, "sse");
  near(value, (1000 * (3 * 375 + 3) * MONTH) / 1e9);
  near(high, (1000 * (3 * (375 + 52 + 22) + (30 + 52 + 22) / 10) * MONTH) / 1e9);
  near(model.egress(handmade(), { ...LOAD, rate: 100, burst: 100 }, "sse").value, (1000 * (100 * 370 + 5 + 3) * MONTH) / 1e9);
  // 37,005 bytes are 26 packets and 3 records.
  near(model.egress(handmade(), { ...LOAD, rate: 100, burst: 100 }, "sse").high, (1000 * (37_005 + 26 * 52 + 3 * 22 + 10.4) * MONTH) / 1e9);
  near(model.egress(handmade(), LOAD, "cable+ext").value - model.egress(handmade(), LOAD, "cable").value, (1000 * 50 * MONTH) / 1e9);
});

test("what a publish takes lies on lines between the measured points, and on the last one beyond", () => {
  const cores = (clients) => model.cores(handmade(), { ...LOAD, clients }, "sse", 1).value * 1e6;
  near(cores(500), (2000 + 10_000) / 2);
  near(cores(1000), 10_000);
  near(cores(8500), (10_000 + 320_000) / 2);
  near(cores(31_000), 320_000 + 310_000);
});

test("a further process takes what it costs to be told, and its own deliveries", () => {
  const cores = (processes) => model.cores(handmade(), LOAD, "sse", processes).value * 1e6;
  near(cores(2), 6000 + (6000 - 2000 + 500));
});

test("a pause before a publish has its price, up to the longest measured one, and once where it was measured", () => {
  const made = handmade({ "pause-sse": fixed(30, { clients: 1000, rate: 5 }) });
  const cores = (load) => model.cores(made, { ...LOAD, ...load }, "sse", 1).value * 1e6;
  near(cores({ rate: 20 }), 20 * 10_000);
  near(cores({ rate: 100 }), 100 * (10_000 - 30_000 / 20 + 30_000 / 100));
  near(cores({ rate: 5 }), 5 * (10_000 - 30_000 / 20 + 30_000 / 5));
  near(cores({ rate: 1 }), 10_000 - 30_000 / 20 + 30_000 / 5);
  near(cores({ rate: 1, burst: 1 }) * 2, cores({ rate: 2 }));
  near(cores({ rate: 0 }) + 1, 1);
  near(cores({ clients: 500, rate: 20 }), (20 * (2000 + 8500)) / 2 + 15_000);
  near(cores({ clients: 16_000, rate: 2 }), 2 * 320_000);
  // Two processes with 1,000 each: both pause.
  near(model.cores(made, { ...LOAD, clients: 2000 }, "sse", 2).value * 1e6, 8500 + (8500 - 2000 + 500) + 2 * 6000);
});

test("bytes beyond the measured ones, reconnects and pings have their price", () => {
  const cores = (load, made = handmade()) => model.cores(made, { ...LOAD, ...load }, "sse", 1).value * 1e6;
  near(cores({ size: 1350 }) - cores({}), 1000);
  assert.equal(cores({ size: 10 }), cores({}));
  near(cores({ rate: 100, burst: 100 }) - cores({}), 99 * 370);
  near(cores({ reconnects: 36 }) - cores({}), 1000);
  near(cores({}, handmade({ "idle-sse": fixed(7) })) - cores({}), 7000);
  near(model.takeIn(handmade(), LOAD, "sse").value, 0.1);
});

test("of a coefficient that may count either way both ends are tried", () => {
  const made = handmade({ "pause-sse": { value: 20, low: 10, high: 30, clients: 1000, rate: 5 } });
  for (const rate of [8, 100]) {
    const ends = [10, 30].map((ms) => 1000 * (rate * (10 - ms / 20) + ms));
    const { low, high } = model.cores(made, { ...LOAD, rate }, "sse", 1);
    near(low * 1e6, Math.min(...ends));
    near(high * 1e6, Math.max(...ends));
  }
});

test("what is beyond the measurements is said, and nothing within them", () => {
  const said = (load, processes = 1) => model.extrapolated(coefficients, { ...LOAD, ...load }, processes).join(" ");
  assert.equal(said({ clients: 16_000, rate: 5 }), "");
  assert.equal(said({ clients: 30_000, rate: 2 }, 2), "");
  assert.equal(said({ rate: 0 }), "");
  assert.match(said({}), /Publishes a second: 1; measured from 1.25 on/);
  assert.match(said({ clients: 40_000 }, 2), /Clients in a process: 20,000; measured to 16,000/);
  assert.match(said({ rate: 100 }), /Deliveries a second by a process: 100,000; measured to 80,000/);
  assert.match(said({ rate: 1000, burst: 2 }), /Deliveries a second by a process: 500,000; measured to 80,000/);
  assert.match(said({ size: 2000 }), /Bytes of an update: 2,000; measured with 350/);
  assert.match(said({ burst: 1000, rate: 1000 }), /Bytes in a write: [0-9,]+; measured to/);
});

// --- dynos

const offer = (load, name, assumed = {}, made = coefficients) =>
  fit.offers(made, plans, { ...LOAD, ...load }, "sse", { ...ASSUMED, ...assumed }).find(({ plan }) => plan.name === name);

test("the router's limit, memory and CPU each decide how many dynos it takes", () => {
  const { count, limit, usd } = offer({ clients: 1500 }, "Standard-1X").value;
  assert.deepEqual([count, limit, usd], [1, undefined, 25 + 3 + 5]);
  const streams = offer({ clients: 1501 }, "Standard-1X").value;
  assert.deepEqual([streams.count, streams.limit], [2, "router"]);
  const heavy = handmade({ base: fixed(1024), "memory-sse": fixed(1024) });
  const memory = offer({ clients: 1200, rate: 0 }, "Standard-1X", { streams: 1e6, memoryShare: 1 }, heavy).value;
  assert.deepEqual([memory.count, memory.limit], [Math.ceil(1200 / 510), "memory"]);
  const busy = offer({ clients: 1000, rate: 100 }, "Standard-1X", { coreShare: 0.5 }, handmade({ relay: fixed(0), publish: fixed(0) })).value;
  assert.deepEqual([busy.count, busy.limit], [2, "CPU"]);
});

test("a plan of one dyno carries no more than one; what never fits is no offer", () => {
  assert.equal(offer({ clients: 1501 }, "Basic").value, undefined);
  assert.equal(offer({ rate: 1000 }, "Standard-1X", {}, handmade({ relay: fixed(1e6) })).value, undefined);
});

test("services are bought for two releases side by side, and what has no known price has none", () => {
  const named = (load, plan) => ["redis", "postgres"].map((service) => offer(load, plan).value[service]?.name);
  assert.deepEqual(named({}, "Standard-1X"), ["mini", "essential-0"]); // 2 processes: 8 and 12 connections
  assert.deepEqual(named({ clients: 3000 }, "Standard-1X"), ["mini", "standard-0"]); // 4: 16 and 24
  assert.deepEqual(named({ clients: 4500 }, "Standard-1X"), ["premium-0", "standard-0"]); // 6: 24
  assert.deepEqual(named({ clients: 16_000 }, "Standard-1X"), ["premium-2", "standard-2"]); // 22: 88 and 132
  assert.equal(offer({ clients: 100_000 }, "Standard-1X").value.usd, undefined);
});

test("the cheapest offer is that with the lowest known price", () => {
  const best = (clients) => fit.cheapest(fit.offers(coefficients, plans, { ...LOAD, clients }, "sse", ASSUMED));
  assert.equal(best(1000).plan.name, "Basic");
  assert.equal(best(1501).plan.name, "Standard-1X");
  assert.equal(best(1_000_000), undefined);
});

test("a metered price is that of memory, CPU and egress, and never below the least", () => {
  const estimate = { memory: fixed(2048), cores: fixed(0.5), egress: { value: 100, low: 100, high: 200 } };
  assert.deepEqual(fit.metered({ memory: 10, core: 20, egress: 0.05, least: 5 }, estimate), { value: 35, low: 35, high: 40 });
  assert.equal(fit.metered({ memory: 10, core: 20, egress: 0.05, least: 50 }, estimate).value, 50);
});

// --- where they differ

test("what is alike differs nowhere", () => {
  const made = handmade();
  assert.equal(difference.cpuDiffers(made, LOAD, 1), false);
  assert.deepEqual(difference.memoryMore(made, LOAD), { value: 0, low: 0, high: 0 });
  assert.equal(difference.egressTimes(made, LOAD, "cable"), 1);
  assert.equal(difference.costsPart(made, plans, LOAD, ASSUMED), undefined);
});

test("what differs is told: CPU by its ranges, memory by the connections', price from a number of connections on", () => {
  const dear = handmade({ "write-1000-cable": fixed(30, { clients: 1000, rate: 20 }), "memory-cable": fixed(1024) });
  assert.equal(difference.cpuDiffers(dear, LOAD, 1), true);
  near(difference.memoryMore(dear, LOAD).value, (1000 * 1022) / 1024);
  const vague = { "memory-sse": { value: 2, low: 1, high: 3 }, "memory-cable": { value: 6, low: 5, high: 8 } };
  assert.deepEqual(difference.memoryMore(handmade(vague), { ...LOAD, clients: 1024 }), { value: 4, low: 2, high: 7 });
  const part = difference.costsPart(dear, plans, LOAD, ASSUMED);
  assert.ok(part.clients > 370 && part.clients < 450 && part.sse < part.cable && part.apart, JSON.stringify(part));
});

test("prices whose ranges meet are not told apart, of whichever plan the range is", () => {
  const vague = (value) => ({ value, low: 1, high: 2000 });
  const made = handmade({ "memory-sse": vague(2), "memory-cable": vague(1024) });
  const { clients, sse, cable, apart } = difference.costsPart(made, plans, LOAD, ASSUMED);
  assert.ok(sse < cable && !apart, JSON.stringify({ clients, sse, cable, apart }));
  const price = (usd, low, high) => ({ value: usd && { usd }, low: low && { usd: low }, high: high && { usd: high } });
  assert.deepEqual(fit.prices([price(15, 15), price(33, 33, 103)]), { low: 15, high: 103 });
  assert.deepEqual(fit.prices([price(15, 15)]), { low: 15, high: Infinity });
});

test("bytes around an update weigh less the larger it is", () => {
  const made = handmade({ "update-bytes-cable": fixed(120) });
  const size = difference.sizeAlike(made, { ...LOAD, rate: 1000 });
  assert.equal(size, 975); // 100 of 20 + 5 + 975 is a tenth, and less with heartbeats that are alike
  assert.equal(difference.sizeAlike(handmade({ "beat-bytes-cable": fixed(60) }), { ...LOAD, rate: 0 }), undefined);
});

// --- words

test("numbers have three digits, and large amounts larger units", () => {
  const { number, amount, span } = words;
  assert.deepEqual([0, 0.01234, 12.345, 999.5, 123_456.7].map(number), ["0", "0.0123", "12.3", "1,000", "123,457"]);
  assert.deepEqual([amount(512, "MB"), amount(20_480, "MB"), amount(1500, "GB"), amount(2, "")], ["512 MB", "20 GB", "1.5 TB", "2"]);
  assert.equal(span({ low: 1, high: 2 }, "MB"), "1 to 2");
  assert.equal(span({ low: 900, high: 1200 }, "GB"), "900 GB to 1.2 TB");
  assert.equal(span({ low: 2, high: 2 }, "MB"), "");
});

test("the verdict says one price where it is one, and what it does not know where there are two", () => {
  const best = (usd) => ({ value: { count: 2, usd }, plan: { name: "Standard-1X" } });
  const load = { clients: 1000, rate: 1 };
  const said = (sse, cable, ...ranges) =>
    words.verdict(load, { sse: best(sse), cable: best(cable) }, { sse: { low: ranges[0], high: ranges[1] }, cable: { low: ranges[2], high: ranges[3] } });
  const alike = "1,000 connections and 1 update a second: 2 x Standard-1X, $58 a month, with SSE and with cable alike.";
  assert.equal(said(58, 58, 58, 58, 58, 58), alike);
  assert.equal(said(58, 58, 33, 58, 58, 83), `${alike} The range is $33 to $83.`);
  assert.equal(said(58, 58, 58, Infinity, 58, 58), `${alike} The range is $58 and more.`);
  assert.match(said(58, 83, 58, 58, 83, 108), /\$58 a month with SSE, .*\$83 with cable\. The ranges are \$58 and \$83 to \$108: they do not meet\.$/);
  assert.match(said(58, 83, 33, 83, 58, 108), /\$33 to \$83 and \$58 to \$108: they meet, so the measurements do not tell which is cheaper\.$/);
  const unknown = { sse: { low: 58, high: Infinity }, cable: { low: Infinity, high: Infinity } };
  assert.match(words.verdict(load, { sse: best(58) }, unknown), /not known with cable\.$/);
  assert.match(words.verdict(load, {}, unknown), /no plan with a known price/);
});
