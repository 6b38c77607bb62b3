/** What comes off a wire is text by strangers: it is read without ever throwing. */

/** The JSON value, or undefined when the text is none (JSON itself cannot say undefined). */
export function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The JSON object, or undefined when the text is none or says something else. */
export function parseObject(text) {
  const value = parseJson(text);
  return isObject(value) ? value : undefined;
}

export function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
