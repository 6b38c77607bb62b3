// The size budget of web/client: minified by esbuild, gzipped. Prints each figure; exits with 1 when one is too large.
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";

const CLIENT = fileURLToPath(new URL("../../web/client/", import.meta.url));
const KB = 1024;
const BUDGETS = [{ what: "sse, cable and auto", modules: ["sse.js", "cable.js", "auto.js"], without: [], most: 6 * KB }];

/** Bytes of these modules and all that they import, as a bundler of an app would send them. */
async function sizeOf(modules) {
  const contents = modules.map((name, index) => `export * as m${index} from "./${name}";`).join("\n");
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: CLIENT }, bundle: true, minify: true, format: "esm", target: "es2022", write: false, logLevel: "error",
  });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length;
}

for (const { what, modules, without, most } of BUDGETS) {
  const size = (await sizeOf(modules)) - (without.length ? await sizeOf(without) : 0);
  console.log(`size: ${what}: ${size} of ${most} bytes, minified and gzipped`);
  if (size > most) {
    console.error(`size: ${what} is ${size - most} bytes over its budget. Make it smaller, or raise the budget in tests/js/size.mjs and docs/clients.md.`);
    process.exitCode = 1;
  }
}
