// @ts-check
/** Writes the JSON Schemas of configurations, the proxies' and a node's, into the built package, for editors. */
import { writeFileSync } from "node:fs";

const DIST = new URL("../dist/", import.meta.url);

/**
 * @param {string} proxies module in dist, with `configurationSchema`
 * @param {string} node module in dist, with `nodeSchema`
 */
export async function writeSchemas(proxies, node) {
  const { configurationSchema } = await import(new URL(proxies, DIST).href);
  write("proxy", configurationSchema());
  const { nodeSchema } = await import(new URL(node, DIST).href);
  write("node", nodeSchema());
}

/** @param {string} name @param {object} schema */
function write(name, schema) {
  writeFileSync(new URL(`${name}.schema.json`, DIST), `${JSON.stringify(schema)}\n`);
}
