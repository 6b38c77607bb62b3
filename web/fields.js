/** The parts of an element that text is written into: those with a `data-field`, by its name. */

/** @param {Element} element */
export function fieldsOf(element) {
  const fields = {};
  for (const field of element.querySelectorAll("[data-field]")) fields[field.dataset.field] = field;
  return fields;
}

/** Writing the same text again would still make the browser lay it out, and a live region might speak it. */
export function write(field, text) {
  if (field.textContent !== text) field.textContent = text;
}
