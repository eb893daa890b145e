/** Before the first test: what the run depends on, said once. Probes the peers, and fails where a required one is missing. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { checkRequired, type Found, probePeers } from "./peers.js";
import { FIXED_SEED, parseSeed } from "./seed.js";

/** Several projects, which read their modules apart. */
declare global {
  var shoalRun: Promise<Run> | undefined;
}

interface Run {
  readonly peers: Readonly<Record<string, Found>>;
  readonly scratch: string;
}

declare module "vitest" {
  interface ProvidedContext {
    /** A folder of the run, for what several files of tests make once. */
    scratch: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  globalThis.shoalRun ??= begin();
  const { peers, scratch } = await globalThis.shoalRun;
  project.provide("peers", peers);
  project.provide("scratch", scratch);
  return () => rm(scratch, { recursive: true, force: true });
}

async function begin(): Promise<Run> {
  const { base, given } = parseSeed(process.env.SHOAL_SEED);
  if (given) console.log(`Seeds: ${base} alone`);
  else if (base !== FIXED_SEED) console.log("Seeds: random; a failure prints its own");
  const found = await probePeers();
  for (const [name, peer] of Object.entries(found))
    if ("missing" in peer) console.warn(`Tests that need ${name} are skipped: ${peer.missing}`);
  checkRequired(found, process.env.SHOAL_REQUIRE_PEERS ?? "");
  return { peers: found, scratch: await mkdtemp(join(tmpdir(), "shoal-run-")) };
}
