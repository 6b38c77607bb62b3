/** What is entered: read from the form, kept in the address behind #, and back. Knows the form and the address, nothing else of the page. */
(() => {
  "use strict";

  const PERCENT = 100;
  // What a field of numbers lets somebody enter, `1e3` and `.5` too; a browser complains when any other text is put into one.
  const DECIMAL = /^-?(\d+(\.\d+)?|\.\d+)(e[-+]?\d+)?$/i;

  const fields = (form) => [...form.elements].filter((element) => element instanceof HTMLInputElement);
  const label = (field) => field.closest("label").querySelector("span").textContent;

  /** What is wrong with a field, as a sentence; empty when nothing is. */
  function fault(field) {
    const wrong = field.value === "" || !field.checkValidity();
    field.setAttribute("aria-invalid", String(wrong));
    if (!wrong) return "";
    const kind = field.step === "1" ? "a whole number" : "a number";
    const [least, most] = [field.min, field.max].map((bound) => Number(bound).toLocaleString("en"));
    return `${label(field)}: enter ${kind} from ${least} to ${most}.`;
  }

  /** Set the fields to what the address says; what it does not say, or says wrongly, is as at first. */
  function fromAddress(form, hash) {
    const said = new URLSearchParams(hash.slice(1));
    for (const field of fields(form)) {
      const text = said.get(field.name) ?? "";
      field.value = DECIMAL.test(text) ? text : field.defaultValue;
      if (fault(field)) field.value = field.defaultValue;
      fault(field);
    }
  }

  /** The address's part for what is entered; of the assumptions only what was changed. */
  function toAddress(form) {
    const said = fields(form).filter((field) => field.value !== field.defaultValue || !field.closest("details"));
    return `#${new URLSearchParams(said.map((field) => [field.name, field.value]))}`;
  }

  /** The first fault, or the load and the assumptions for the model. */
  function read(form) {
    const wrong = fields(form).map(fault).find(Boolean);
    if (wrong) return { fault: wrong };
    const { clients, rate, burst, size, reconnects, streams, shared, cpu, memory } = Object.fromEntries(
      fields(form).map((field) => [field.name, Number(field.value)]),
    );
    return {
      load: { clients, rate, burst, size, reconnects: reconnects / PERCENT },
      assumptions: { streams, sharedCores: shared / PERCENT, coreShare: cpu / PERCENT, memoryShare: memory / PERCENT },
    };
  }

  globalThis.calculator = { ...globalThis.calculator, inputs: { fields, fromAddress, toAddress, read } };
})();
