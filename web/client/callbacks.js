/** The callbacks of the app. */

/** @typedef {import("./index.d.ts").Callbacks} Callbacks */

/**
 * A callback that throws is the app's fault, told where its other faults are, and must not break the connection.
 * @param {Callbacks} options
 * @returns {<Name extends keyof Callbacks>(name: Name, ...told: Parameters<NonNullable<Callbacks[Name]>>) => void} calls one of them,
 * if it is there
 */
export function createTell(options) {
  return (name, ...told) => {
    try {
      /** @type {((...told: unknown[]) => void) | undefined} */ (options[name])?.(...told);
    } catch (error) {
      // Node has no reportError.
      if (typeof reportError === "function") reportError(error);
      else console.error(error);
    }
  };
}
