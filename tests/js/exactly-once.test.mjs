/**
 * The promise itself: whatever happens to connections and to the page, each update is given out exactly once and in order, and what is
 * missing was told. Random lives of a client, over a server that keeps the protocol; each is repeated by its seed.
 */
import assert from "node:assert/strict";
import { test } from "node:test";

import { createRandom } from "./random.mjs";
import { settle, start, WIRES } from "./wires.mjs";

const LIVES = 60; // per transport
const STEPS = 100;

/** A log with its epoch, and what it has sent on each connection. */
class FakeServer {
  epoch = "e1";
  head = 0;
  sent = new Map(); // connection -> id of the last update on its way

  /** Answer a connection with its verdict, as docs/protocol.md §1 has it. */
  answers(wire, connection, position) {
    const [epoch, id] = (position ?? "").split("-");
    const known = epoch === this.epoch && Number(id) <= this.head;
    const from = known ? Number(id) : Math.max(0, this.head - 1);
    this.sent.set(connection, from);
    wire.tells(connection, known ? "recovered" : position ? "gap" : "fresh", `${this.epoch}-${from}`);
  }

  /** Send the next updates on a connection; with `again`, some that it has had before. */
  sends(wire, connection, count, again = 0) {
    const last = this.sent.get(connection);
    const end = Math.min(this.head, last + count);
    for (let id = Math.max(1, last + 1 - again); id <= end; id += 1) {
      wire.updates(connection, { epoch: this.epoch, id }, `${this.epoch}-${id}`);
    }
    this.sent.set(connection, Math.max(last, end));
  }

  /** The database was restored: another epoch, and the connections are gone. */
  restored() {
    this.epoch = `e${Number(this.epoch.slice(1)) + 1}`;
    this.head = 1;
    this.sent.clear();
  }
}

class Life {
  constructor(wire, seed) {
    this.random = createRandom(seed);
    this.server = new FakeServer();
    this.wire = wire;
    this.told = []; // updates and verdicts, in order
  }

  pick(most) {
    return Math.floor(this.random() * most);
  }

  /** A client of this wire, from `position` on. */
  async connects(wire, position) {
    this.wire = wire;
    this.parts = await start(wire, {
      position,
      hiddenLimit: 5000,
      platform: { random: this.random },
      onUpdate: (data) => this.told.push(data),
      onVerdict: (verdict) => this.told.push(verdict),
    });
  }

  /** The connection that is open; with its verdict, if it had none. */
  get connection() {
    const open = this.parts.Kind.all.filter(({ readyState }) => readyState < 2);
    assert.ok(open.length <= 1, "never two connections");
    return open[0];
  }

  answered() {
    const { connection, server, wire } = this;
    if (connection && !server.sent.has(connection)) server.answers(wire, connection, wire.resumesFrom(connection));
    return connection;
  }

  // --- what may happen

  publishes() {
    this.server.head += 1 + this.pick(4);
  }
  delivers() {
    const connection = this.answered();
    if (connection) this.server.sends(this.wire, connection, 1 + this.pick(5));
  }
  deliversAgain() {
    const connection = this.answered();
    if (connection) this.server.sends(this.wire, connection, this.pick(3), 1 + this.pick(6));
  }
  /** What was still on its way on a connection that the client has left. */
  deliversLate() {
    const old = this.parts.Kind.all.filter((each) => each.readyState >= 2 && this.server.sent.has(each));
    if (old.length) this.server.sends(this.wire, old[this.pick(old.length)], 3);
  }
  breaks() {
    if (this.connection) this.wire.breaks(this.connection);
  }
  leaves() {
    if (this.connection) this.wire.leaves(this.connection, "server_restart", this.pick(3000));
  }
  beats() {
    if (this.answered()) this.wire.beats(this.connection);
  }
  passes() {
    this.parts.clock.advance(this.pick(40_000));
  }
  sleeps() {
    this.parts.clock.sleep(this.pick(3_600_000));
  }
  hides() {
    this.parts.page.hides();
  }
  shows() {
    this.parts.page.shows();
  }
  changesNetwork() {
    this.parts.page.goesOffline();
    this.parts.page.comesOnline();
  }
  freezes() {
    this.parts.page.document.emits("freeze");
  }
  isRestoredFromCache() {
    this.parts.page.window.emits("pagehide");
    this.parts.page.window.emits("pageshow", { persisted: true });
  }
  reconnects() {
    this.parts.client.reconnect();
  }
  async switches() {
    const { client, Kind, clock, page } = this.parts;
    client.close();
    assert.deepEqual([Kind.open, clock.pending, page.listeners], [0, 0, 0]);
    await this.connects(WIRES[this.pick(2)], client.position);
  }
  isRestored() {
    if (this.random() > 0.1) return;
    this.breaks();
    this.server.restored();
  }

  async ends() {
    this.parts.page.shows();
    this.reconnects();
    await settle();
    this.answered();
    this.server.sends(this.wire, this.connection, Infinity);
    this.parts.client.close();
  }
}

const EVENTS = Object.getOwnPropertyNames(Life.prototype).filter(
  (name) => !["constructor", "pick", "connects", "connection", "answered", "ends"].includes(name),
);

/** Each update follows the one before; only a verdict may move that, and says so. */
function check(told, server, seed) {
  let last;
  for (const each of told) {
    if (each.verdict === "recovered") continue;
    if (each.verdict) {
      const [epoch, id] = each.position.split("-");
      assert.ok(last === undefined || (each.verdict === "gap" && epoch !== last.epoch), `seed ${seed}: ${each.verdict} without a cause`);
      last = { epoch, id: Number(id) };
    } else {
      assert.deepEqual(each, { epoch: last.epoch, id: last.id + 1 }, `seed ${seed}`);
      last = each;
    }
  }
  assert.deepEqual(last, { epoch: server.epoch, id: server.head }, `seed ${seed}: nothing is missing at the end`);
}

for (const wire of WIRES) {
  test(`${wire.name}: each update once and in order, in ${LIVES} random lives`, async () => {
    for (let seed = 1; seed <= LIVES; seed += 1) {
      const life = new Life(wire, seed);
      await life.connects(wire);
      life.answered();
      for (let step = 0; step < STEPS; step += 1) {
        await life[EVENTS[life.pick(EVENTS.length)]]();
        await settle();
      }
      await life.ends();
      check(life.told, life.server, seed);
    }
  });
}
