/**
 * What so many connections take: memory, CPU, bytes. Pure: the coefficients are handed in (coefficients.js).
 *
 * A classic script, as all of this folder: browsers load no module from file://. Each adds its part to `calculator`.
 *
 * An estimate is a range. Its ends are the lowest and the highest that come out with each coefficient at an end of its own range.
 */
(() => {
  "use strict";

  const MONTH = (365.25 / 12) * 86_400; // seconds
  const GB = 1e9;
  const KIB_PER_MB = 1024; // a plan's "512 MB" are MiB
  const TRANSPORTS = ["sse", "cable", "cable+ext"];

  // What the bench, on loopback and without TLS, does not see; counted at the high end.
  const PACKET = { most: 1448, head: 52 }; // bytes: Ethernet's 1,500 less IPv4 (RFC 791), TCP (RFC 9293) and its time stamps (RFC 7323)
  const RECORD = { most: 16_384, head: 22 }; // bytes: TLS 1.3 with a tag of 16 (RFC 8446 section 5.2)

  /**
   * @typedef {{value: number, low: number, high: number}} Range
   * @typedef {"value" | "low" | "high"} End
   * @typedef {{clients: number, rate: number, size: number, burst: number, reconnects: number}} Inputs `rate`: updates a second, `burst` of them
   *   in one publish; `size`: bytes of JSON of an update; `reconnects`: the share of the clients that comes back in an hour (1 is all of them)
   * @typedef {"sse" | "cable" | "cable+ext"} Transport
   * @typedef {(id: string) => number} Pick the number that a coefficient has in this calculation
   */

  /** The measured transport that stands for one. The extended protocol was not measured by itself: it differs from the base one in bytes. */
  const measuredAs = (transport) => (transport === "cable+ext" ? "cable" : transport);

  /**
   * Something that can be worked out at each end.
   * @param {(pick: Pick, end: End, coefficients: object, ...given: any[]) => number} reckon
   * @param {(transport: Transport) => string[]} [ambiguous] ids of which more is not always more in the result: both of their ends are tried
   */
  function quantity(reckon, ambiguous = () => []) {
    function at(end, coefficients, inputs, transport, processes) {
      const { values } = coefficients;
      const once = (chosen) => reckon((id) => values[id][chosen[id] ?? end], end, coefficients, inputs, transport, processes);
      if (end === "value") return once({});
      const found = choices(ambiguous(transport)).map(once);
      return end === "low" ? Math.max(0, Math.min(...found)) : Math.max(...found);
    }
    const range = (...given) => ({ value: at("value", ...given), low: at("low", ...given), high: at("high", ...given) });
    return Object.assign(range, { at });
  }

  /** Each way to set each of these ids to one of its two ends. */
  function choices(ids) {
    const more = (sofar, id) => sofar.flatMap((one) => [{ ...one, [id]: "low" }, { ...one, [id]: "high" }]);
    return ids.reduce(more, [{}]);
  }

  // --- memory

  /** MB of all processes together. Of the kernel's part nobody knows whether a platform counts it: the high end has it. */
  const memory = quantity((pick, end, coefficients, { clients }, transport, processes) => {
    const key = measuredAs(transport);
    const kernel = end === "high" ? pick(`kernel-${key}`) : 0;
    return (processes * pick("base") + clients * (pick(`memory-${key}`) + kernel)) / KIB_PER_MB;
  });

  // --- bytes

  /** Bytes of the write that brings a publish to a client. */
  function writeBytes(pick, { size, burst }, transport) {
    const key = measuredAs(transport);
    const position = transport === "cable+ext" ? pick("position-bytes") : 0;
    return burst * (size + pick(`update-bytes-${key}`) + position) + pick(`write-bytes-${key}`);
  }

  function heads(bytes) {
    return Math.ceil(bytes / PACKET.most) * PACKET.head + Math.ceil(bytes / RECORD.most) * RECORD.head;
  }

  /** GB that leave the server in a month. The low end is what was measured; the high end has the heads of packets and TLS records, too. */
  const egress = quantity((pick, end, coefficients, inputs, transport) => {
    const key = measuredAs(transport);
    const whole = (bytes) => bytes + (end === "high" ? heads(bytes) : 0);
    const updates = (inputs.rate / inputs.burst) * whole(writeBytes(pick, inputs, transport));
    const beats = whole(pick(`beat-bytes-${key}`)) / pick(`beat-seconds-${key}`);
    return (inputs.clients * (updates + beats) * MONTH) / GB;
  });

  // --- CPU

  /**
   * us that a publish takes more because of the pause before it: the longer, up to the longest that was measured; the more clients, up to as
   * many as there were.
   */
  function pauseCost(coefficients, pick, key, clients, publishes) {
    const { clients: most, rate: least } = coefficients.values[`pause-${key}`];
    return 1000 * pick(`pause-${key}`) * Math.min(1, clients / most) * Math.min(1 / publishes, 1 / least);
  }

  /** The ids of the costs of a delivery, fewest clients first. */
  function writes({ values }, key) {
    const ids = Object.keys(values).filter((id) => id.startsWith("write-") && id.endsWith(`-${key}`) && values[id].clients);
    return ids.sort((one, other) => values[one].clients - values[other].clients);
  }

  /** The measured points: [clients, us that one publish without a pause takes in a process with so many, all of its deliveries included]. */
  function points(coefficients, pick, key) {
    const found = writes(coefficients, key).map((id) => {
      const { clients, rate } = coefficients.values[id];
      return [clients, clients * pick(id) - pauseCost(coefficients, pick, key, clients, rate)];
    });
    return [[0, pick("publish")], ...found];
  }

  /** us that one publish without a pause takes in a process: on straight lines between what was measured, and on the last one beyond. */
  function publishCost(coefficients, pick, key, clients) {
    const known = points(coefficients, pick, key);
    const upper = known.findIndex(([many], place) => place > 0 && (many >= clients || place === known.length - 1));
    const [[n0, us0], [n1, us1]] = [known[upper - 1], known[upper]];
    return us0 + ((clients - n0) / (n1 - n0)) * (us1 - us0);
  }

  /** us of each publish for bytes beyond those of the update that was measured. */
  function bytesCost(coefficients, pick, inputs, transport) {
    const key = measuredAs(transport);
    const measured = writeBytes(pick, { size: coefficients.measured.size, burst: 1 }, key);
    return (inputs.clients * Math.max(0, writeBytes(pick, inputs, transport) - measured) * pick(`byte-${key}`)) / 1000;
  }

  /** Cores' worth of CPU of all processes together, each with the same number of clients. */
  const cores = quantity(
    (pick, end, coefficients, inputs, transport, processes) => {
      const key = measuredAs(transport);
      const each = inputs.clients / processes;
      const publishes = inputs.rate / inputs.burst;
      const alone = publishCost(coefficients, pick, key, each);
      // Another process writes to clients of its own, but publishes nothing: it is told.
      const further = alone - pick("publish") + pick("relay");
      const pauses = processes * pauseCost(coefficients, pick, key, each, publishes);
      const publish = alone + (processes - 1) * further + pauses + bytesCost(coefficients, pick, inputs, transport);
      const idle = inputs.clients * pick(`idle-${key}`);
      const back = ((inputs.clients * inputs.reconnects) / 3600) * pick(`connect-${key}`);
      return (publishes * publish + idle + back) / 1e6;
    },
    (transport) => ["publish", `pause-${measuredAs(transport)}`],
  );

  /** Seconds of CPU to take all clients in again, as behind a restart. */
  const takeIn = quantity((pick, end, coefficients, { clients }, transport) => (clients * pick(`connect-${measuredAs(transport)}`)) / 1e6);

  /** Everything about one transport. @param {Inputs} inputs @param {Transport} transport @param {number} processes */
  function estimate(coefficients, inputs, transport, processes) {
    const given = [coefficients, inputs, transport, processes];
    return { transport, memory: memory(...given), cores: cores(...given), egress: egress(...given), takeIn: takeIn(...given) };
  }

  /** Sentences about what is beyond the measurements. @param {Inputs} inputs @param {number} processes */
  function extrapolated(coefficients, inputs, processes) {
    const { measured, values } = coefficients;
    const each = inputs.clients / processes;
    const bytes = Math.max(...TRANSPORTS.map((transport) => writeBytes((id) => values[id].value, inputs, transport)));
    const text = (number) => (number < 100 ? Number(number.toPrecision(3)) : Math.round(number)).toLocaleString("en");
    const publishes = inputs.rate / inputs.burst;
    const beyond = (what, value, reach) => `${what}: ${text(value)}; measured to ${text(reach)}.`;
    return [
      publishes > 0 && publishes < measured.rate && `Publishes a second: ${text(publishes)}; measured from ${text(measured.rate)} on.`,
      each > measured.clients && beyond("Clients in a process", each, measured.clients),
      // What one write brings to a client counts once, however many updates are in it.
      each * publishes > measured.deliveries && beyond("Deliveries a second by a process", each * publishes, measured.deliveries),
      inputs.size !== measured.size &&
        `Bytes of an update: ${text(inputs.size)}; measured with ${text(measured.size)}. What more of them cost is taken from bursts.`,
      bytes > measured.write && beyond("Bytes in a write", bytes, measured.write),
    ].filter(Boolean);
  }

  globalThis.calculator = { ...globalThis.calculator, model: { TRANSPORTS, MONTH, estimate, extrapolated, cores, memory, egress, takeIn } };
})();
