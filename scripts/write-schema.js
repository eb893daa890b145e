// @ts-check
/** Writes the JSON Schemas of configurations, the proxies' and a node's, into the built package, for editors. */
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

/**
 * @param {string} folder of the built package
 * @param {string} proxies module in it, with `configurationSchema`
 * @param {string} node module in it, with `nodeSchema`
 */
export async function writeSchemas(folder, proxies, node) {
  /** @param {string} name */
  const load = (name) => import(pathToFileURL(resolve(folder, name)).href);
  /** @param {string} name @param {object} schema */
  const write = (name, schema) =>
    writeFileSync(join(folder, `${name}.schema.json`), `${JSON.stringify(schema)}\n`);
  const { configurationSchema } = await load(proxies);
  write("proxy", configurationSchema());
  const { nodeSchema } = await load(node);
  write("node", nodeSchema());
}
