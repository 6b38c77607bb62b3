// The size budget of web/client: minified by esbuild, gzipped. Prints each figure; exits with 1 when one is too large.
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";

const CLIENT = fileURLToPath(new URL("../../web/client/", import.meta.url));
const KB = 1024;
const EITHER = `
  export { connectSse } from "./sse.js";
  export { connectCable } from "./cable.js";
  export { connect } from "./auto.js";
`;
const SHARED = `${EITHER}
  export { connectShared } from "./shared.js";
  import "./shared-worker.js";
`;
const BUDGETS = [
  { what: "sse, cable and auto", entry: EITHER, most: 6 * KB },
  { what: "what connectShared adds, its worker included", entry: SHARED, beyond: EITHER, most: 3 * KB },
];

/** Bytes of what this module imports, as the bundler of an app would send them. @param {string} entry */
async function sizeOf(entry) {
  const { outputFiles } = await build({
    stdin: { contents: entry, resolveDir: CLIENT }, bundle: true, minify: true, format: "esm", target: "es2022", write: false, logLevel: "error",
  });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length;
}

for (const { what, entry, beyond, most } of BUDGETS) {
  const size = (await sizeOf(entry)) - (beyond ? await sizeOf(beyond) : 0);
  console.log(`size: ${what}: ${size} of ${most} bytes, minified and gzipped`);
  if (size > most) {
    console.error(`size: ${what} is ${size - most} bytes over its budget. Make it smaller, or raise the budget in tests/js/size.mjs and docs/clients.md.`);
    process.exitCode = 1;
  }
}
