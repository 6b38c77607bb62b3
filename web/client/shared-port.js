/** A tab's link to the SharedWorker that holds the connection. */

/**
 * @param {(name: string) => SharedWorker} createWorker
 * @param {string} name of the worker: tabs that give the same one meet
 * @param {import("./index.d.ts").SharedOptions} options of the connection
 * @param {{ask: (what: string) => Promise<unknown>, receive: (message: any) => void, fail: () => void}} tab
 * `ask`: for the worker, which has no functions of the app; `fail`: its script cannot be loaded, or it does not answer
 */
export function openPort(createWorker, name, options, { ask, receive, fail }) {
  const settings = forWorker(options);
  /** @type {SharedWorker} */
  let worker;
  let heard = false;

  function open() {
    heard = false;
    worker = createWorker(name);
    worker.onerror = () => heard || fail();
    worker.port.onmessage = ({ data }) => {
      heard = true;
      if (data.type === "ask") answer(data);
      else if (data.type === "fail") fail();
      else receive(data);
    };
  }

  /** @param {{id: number, what: string}} question */
  async function answer({ id, what }) {
    const { port } = worker;
    try {
      port.postMessage({ type: "answer", id, value: await ask(what) });
    } catch (thrown) {
      const { message = String(thrown), reconnect } = /** @type {{message?: string, reconnect?: boolean}} */ (thrown ?? {});
      port.postMessage({ type: "answer", id, error: { message, reconnect } });
    }
  }

  function close() {
    worker.onerror = worker.port.onmessage = null;
    worker.port.postMessage({ type: "leave" });
    worker.port.close();
  }

  /** @param {any} message */
  const send = (message) => worker.port.postMessage(message.type === "join" ? { ...message, ...settings } : message);

  open();
  return {
    role: /** @type {const} */ ("worker"),
    send,
    close,
    /** A worker that has crashed is started again under its name; from one that hangs nothing will be heard. @param {() => void} join */
    revive(join) {
      if (!heard) return fail();
      close();
      open();
      join();
    },
  };
}

/**
 * The options that can be sent to a worker, and the names of those that it has to ask for.
 * @param {import("./index.d.ts").SharedOptions} options
 */
function forWorker({ platform, ...given }) {
  /** @type {Record<string, unknown>} */
  const options = {};
  /** @type {string[]} */
  const functions = [];
  for (const [name, value] of Object.entries(given)) {
    if (typeof value !== "function") options[name] = value;
    else if (name === "url" || name === "ticket") functions.push(name);
  }
  return { options, functions };
}
