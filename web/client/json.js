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

/**
 * The bytes of a text in UTF-8. Counted in place: to encode each update for its length alone would cost its size in memory.
 * @param {string} text
 */
export function byteLength(text) {
  let bytes = text.length;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    // Each half of a surrogate pair stands for two of its four bytes.
    if (unit > 0x7f) bytes += unit > 0x7ff && (unit & 0xf800) !== 0xd800 ? 2 : 1;
  }
  return bytes;
}
