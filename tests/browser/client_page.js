/** What tests/browser/client_page.py puts in the place of page.js: it starts clients, and keeps all that they say. */
import * as library from "./client/index.js";

const violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  violations.push(`${event.violatedDirective}: ${event.blockedURI}`);
});

/** Start a client by the name of its factory; `extra` may override what is recorded. */
function start(name, factory, options, extra = {}) {
  const kept = { updates: [], verdicts: [], states: [], ignored: [] };
  const recording = {
    onUpdate: (data, meta) => kept.updates.push({ data, ...meta }),
    onVerdict: (verdict) => kept.verdicts.push(verdict),
    onState: (state, detail) => kept.states.push({ state, ...detail, hidden: document.hidden }),
    onIgnored: (what) => kept.ignored.push(what),
  };
  clients[name] = { kept, client: null };
  clients[name].client = library[factory]({ ...recording, ...options, ...extra });
}

/** What a client has said, and what it says of itself now; without the contents of updates beyond their `n`. */
function report(name) {
  const { kept, client } = clients[name];
  const { state, position, transport, stats } = client;
  return { ...kept, state, position, transport, stats };
}

/** Close and forget all clients, as if the page had been opened anew. */
function reset() {
  for (const name of Object.keys(clients)) {
    clients[name].client.close();
    delete clients[name];
  }
}

const clients = {};
globalThis.harness = { library, clients, start, report, reset, violations };
