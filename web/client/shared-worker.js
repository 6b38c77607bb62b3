/**
 * The SharedWorker of `connectShared`: the connection of all tabs with the same name. It lives as long as one of them.
 * Functions cannot come here: what `url` and `ticket` return is asked of a tab.
 */
import { createHost } from "./shared-host.js";
import { createTail } from "./tail.js";

/** A tab that crashed or is frozen does not answer: then another one is asked. In ms. */
const ANSWER_LIMIT = 5000;

/** @type {Set<MessagePort>} */
const ports = new Set();
/** @type {Map<number, (answer: any) => void>} */
const questions = new Map();
let asked = 0;
/** @type {import("./shared-host.js").Host | undefined} */
let host;

/** Ask a tab for what one of its functions returns. @param {"url" | "ticket"} what */
async function ask(what) {
  // The newest first: it is the least likely to be gone.
  for (const port of [...ports].reverse()) {
    const answer = await askTab(port, what);
    if (answer?.error) throw Object.assign(new Error(answer.error.message), answer.error);
    if (answer) return answer.value;
  }
  throw new Error("No tab answers.");
}

/** @param {MessagePort} port @param {string} what @returns {Promise<any>} undefined when it does not answer */
function askTab(port, what) {
  asked += 1;
  const id = asked;
  return new Promise((resolve) => {
    questions.set(id, resolve);
    setTimeout(() => resolve(undefined), ANSWER_LIMIT);
    port.postMessage({ type: "ask", id, what });
  }).finally(() => questions.delete(id));
}

/** @param {any} message */
function emit(message) {
  for (const port of [...ports]) port.postMessage(message);
  // For good: a tab that comes later may be allowed what these were not.
  if (message.state === "closed") host = undefined;
}

/** @param {MessagePort} port @param {{options: any, functions: ("url" | "ticket")[], position: string}} message */
function join(port, { options, functions, position }) {
  ports.add(port);
  if (host) return;
  const asking = Object.fromEntries(functions.map((what) => [what, () => ask(what)]));
  try {
    host = createHost({ ...options, ...asking }, createTail(position), emit);
  } catch {
    port.postMessage({ type: "fail" }); // workers of this browser have no EventSource, or no WebSocket
  }
}

/** @param {MessagePort} port */
function leave(port) {
  ports.delete(port);
  if (ports.size > 0) return;
  host?.close();
  host = undefined;
}

/** @param {MessagePort} port @param {any} message */
function receive(port, message) {
  if (message.type === "answer") return questions.get(message.id)?.(message);
  if (message.type === "leave") return leave(port);
  if (message.type === "join") join(port, message);
  host?.receive(message, (answer) => port.postMessage(answer));
}

/** @type {any} */ (globalThis).onconnect = (/** @type {MessageEvent} */ { ports: [port] }) => {
  port.onmessage = ({ data }) => receive(port, data);
  port.addEventListener("close", () => leave(port)); // where the browser tells that a tab is gone
};
