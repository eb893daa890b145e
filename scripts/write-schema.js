// @ts-check
/** Writes the JSON Schemas of configurations, the proxies' and a node's, into the built package, for editors. */
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

/**
 * @param {string} folder of the built package
 * @param {string} modules the folder of the built modules that have them
 */
export async function writeSchemas(folder, modules) {
  /** @param {string} name */
  const load = (name) => import(pathToFileURL(resolve(modules, name)).href);
  /** @param {string} name @param {object} schema */
  const write = (name, schema) =>
    writeFileSync(join(folder, `${name}.schema.json`), `${JSON.stringify(schema)}\n`);
  const { configurationSchema } = await load("proxy/config/schema.js");
  write("proxy", configurationSchema());
  const { nodeSchema } = await load("cli/node-schema.js");
  write("node", nodeSchema());
}
