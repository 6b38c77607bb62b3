import assert from "node:assert/strict";
import { test } from "node:test";

import { byteLength } from "../../web/client/json.js";
import { createRandom } from "./random.mjs";

test("bytes are those of UTF-8, as an encoder makes them", () => {
  const encoder = new TextEncoder();
  const random = createRandom(1);
  const planes = [0x80, 0x800, 0xd800, 0x10000, 0x110000];
  const texts = ["", "a", "é", "€", "😀", "\u007f\u0080\u07ff\u0800\uffff", "\ud7ff\ue000"];
  for (let round = 0; round < 200; round += 1) {
    const point = () => Math.floor(random() * planes[Math.floor(random() * planes.length)]);
    texts.push(String.fromCodePoint(...Array.from({ length: 20 }, point).filter((each) => each < 0xd800 || each > 0xdfff)));
  }
  for (const text of texts) assert.equal(byteLength(text), encoder.encode(text).length, JSON.stringify(text));
});
