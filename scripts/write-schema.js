// @ts-check
/** Writes the JSON Schema of the proxy's configuration into the built package, for editors. */
import { writeFileSync } from "node:fs";
import { configurationSchema } from "../dist/micro/configuration-schema.js";

const file = new URL("../dist/proxy.schema.json", import.meta.url);
writeFileSync(file, `${JSON.stringify(configurationSchema())}\n`);
