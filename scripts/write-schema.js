// @ts-check
/** Writes the JSON Schema of the proxy's configuration into the built package, for editors. */
import { writeFileSync } from "node:fs";

const DIST = new URL("../dist/", import.meta.url);

/** @param {string} module in dist, with `configurationSchema` */
export async function writeSchema(module) {
  const { configurationSchema } = await import(new URL(module, DIST).href);
  writeFileSync(new URL("proxy.schema.json", DIST), `${JSON.stringify(configurationSchema())}\n`);
}
