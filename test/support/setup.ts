/** Before the first test: what the run depends on, said once. Probes the peers, and fails where a required one is missing. */
import type { TestProject } from "vitest/node";
import { checkRequired, type Found, probePeers } from "./peers.js";
import { parseSeed } from "./seed.js";

/** Several projects, which read their modules apart. */
declare global {
  var shoalPeers: Readonly<Record<string, Found>> | undefined;
}

export default async function setup(project: TestProject): Promise<void> {
  globalThis.shoalPeers ??= await begin();
  project.provide("peers", globalThis.shoalPeers);
}

async function begin(): Promise<Readonly<Record<string, Found>>> {
  const { base, day, given } = parseSeed(process.env.SHOAL_SEED);
  if (given) console.log(`Seeds: ${base} alone`);
  else if (day === undefined) console.log("Seeds: random; a failure prints its own");
  else
    console.log(`Seeds: ${base}, and a tenth as many from ${day}, the day's; SHOAL_SEED=${day} repeats that`);
  const found = await probePeers();
  for (const [name, peer] of Object.entries(found))
    if ("missing" in peer) console.warn(`Tests that need ${name} are skipped: ${peer.missing}`);
  checkRequired(found, process.env.SHOAL_REQUIRE_PEERS ?? "");
  return found;
}
