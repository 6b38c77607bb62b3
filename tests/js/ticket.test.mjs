import assert from "node:assert/strict";
import { test } from "node:test";

import { ticketsFrom } from "../../web/client/ticket.js";

function answering(status, body) {
  const asked = [];
  const fetch = async (url, request) => {
    asked.push([url, request]);
    return { ok: status < 300, status, json: async () => body };
  };
  return { asked, fetch };
}

test("tickets are fetched with the long-lived one in a header, never in an address", async () => {
  const { asked, fetch } = answering(201, { ticket: "t" });
  assert.equal(await ticketsFrom("http://host/tickets", { streams: ["s"], token: "long", fetch })(), "t");
  const [url, { method, headers, body }] = asked[0];
  assert.deepEqual([url, method, headers.authorization], ["http://host/tickets", "POST", "Bearer long"]);
  assert.deepEqual(JSON.parse(body), { streams: ["s"], once: true });
  const { asked: bare, fetch: open } = answering(201, { ticket: "t" });
  await ticketsFrom("http://host/tickets", { fetch: open })();
  assert.equal("authorization" in bare[0][1].headers, false);
});

test("a refused fetch says why, and whether another attempt may help", async () => {
  for (const [status, reconnect] of [[401, false], [403, false], [404, false], [429, true], [503, true]]) {
    const { fetch } = answering(status, { detail: "what to do" });
    await assert.rejects(ticketsFrom("http://host/tickets", { fetch }), { message: "what to do", reconnect });
  }
});
