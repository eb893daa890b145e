/** The engines that tests run on: all of the package, where the runtime has them. */
import { ENGINE_NAMES } from "../../src/engine/select.js";

export const RUNTIME =
  process.versions.bun !== undefined ? "bun" : process.versions.deno !== undefined ? "deno" : "node";

/** Bun and Deno have no engine libzmq, and say so (docs/installing.md). */
export const ENGINES = ENGINE_NAMES.filter((name) => name !== "libzmq" || RUNTIME === "node");
