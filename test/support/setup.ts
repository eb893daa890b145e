/** Before the first test: what the run depends on, said once. Probes the peers, and fails where a required one is missing. */
import type { TestProject } from "vitest/node";
import { checkRequired, type Found, probePeers } from "./peers.js";
import { FIXED_SEED, parseSeed } from "./seed.js";

/** Several projects, which read their modules apart. */
declare global {
  var shoalRun: Promise<Readonly<Record<string, Found>>> | undefined;
}

export default async function setup(project: TestProject): Promise<void> {
  globalThis.shoalRun ??= begin();
  project.provide("peers", await globalThis.shoalRun);
}

async function begin(): Promise<Readonly<Record<string, Found>>> {
  const { base, given } = parseSeed(process.env.SHOAL_SEED);
  if (given) console.log(`Seeds: ${base} alone`);
  else if (base !== FIXED_SEED) console.log("Seeds: random; a failure prints its own");
  const found = await probePeers();
  for (const [name, peer] of Object.entries(found))
    if ("missing" in peer) console.warn(`Tests that need ${name} are skipped: ${peer.missing}`);
  checkRequired(found, process.env.SHOAL_REQUIRE_PEERS ?? "");
  return found;
}
