/** What comes off a wire is text by strangers: it is read without ever throwing. */

/**
 * The JSON value, or undefined when the text is none (JSON itself cannot say undefined).
 * @param {string} text
 * @returns {unknown}
 */
export function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * The JSON object, or undefined when the text is none or says something else.
 * @param {unknown} text
 * @returns {Record<string, unknown> | undefined}
 */
export function parseObject(text) {
  const value = typeof text === "string" ? parseJson(text) : undefined;
  return typeof value === "object" && value !== null && !Array.isArray(value) ? /** @type {Record<string, unknown>} */ (value) : undefined;
}
