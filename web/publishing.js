/** The buttons that make the server publish test updates, where the demo lets the page do so, and the answer to them. */
import { count } from "./format.js";

/**
 * @param {Iterable<HTMLButtonElement>} buttons each with the address to post to in `data-trigger`
 * @param {HTMLElement} answer the live region that says what came of it
 */
export function createPublishing(buttons, answer) {
  async function publish(button) {
    button.disabled = true;
    try {
      answer.textContent = describeAnswer(await post(button.dataset.trigger));
    } catch {
      answer.textContent = "The server cannot be reached: nothing was published.";
    } finally {
      button.disabled = false;
    }
  }

  for (const button of buttons) button.addEventListener("click", () => publish(button));
}

async function post(address) {
  const response = await fetch(address, { method: "POST" });
  // A proxy in between answers with a page of its own.
  const body = await response.json().catch(() => null);
  return { ok: response.ok, status: response.status, body: body ?? {} };
}

function describeAnswer({ ok, status, body }) {
  if (!ok) return typeof body.detail === "string" ? body.detail : `The server refused (${status}): nothing was published.`;
  return body.count === 1 ? `Published ${body.position}.` : `Published ${count(body.count)} updates, up to ${body.position}.`;
}
