/** A clone's server with a map of many keys, and a client that loads it repeatedly. */
import { setImmediate } from "node:timers/promises";
import { CloneClient, CloneServer } from "shoal/patterns";
import { Bodies, Checker } from "../../../bodies.js";
import { sumOfChecksums } from "../../../sequences.js";
import { Latencies } from "../histogram.js";
import type { Side } from "../side.js";
import { growthSince } from "./case-options.js";
import { keyOf } from "./clone-keys.js";
import type { Role, Roles } from "./role.js";

/** Updates of the program per turn. */
const BATCH = 4_000;
/** ms without progress of a snapshot: on a busy machine its server may start late. */
const PATIENCE = 30_000;

/** Resident memory after a collection, if that can be requested. */
function resident(): number {
  global.gc?.();
  return process.memoryUsage().rss;
}

const server: Role = async (side) => {
  const clone = new CloneServer();
  const endpoint = await clone.bind(side.endpoint);
  const bodies = new Bodies(side.size);
  const keys = side.number("keys", 1_000);
  for (let k = 0; k < keys; k++) {
    if (!clone.set(keyOf(k), bodies.make(k))) throw new Error(`the server did not take key ${k}`);
    if (k % BATCH === BATCH - 1) await setImmediate();
  }
  const before = resident();
  await side.ready(endpoint);
  await side.stopped;
  const { done } = clone.stats().snapshots;
  await side.done({ messages: done, bytes: 0, extra: growthSince(before) });
  await clone.close();
};

/**
 * @returns the checksum of a complete map
 * @throws Error for an incomplete map
 */
function checked(clone: CloneClient, side: Side): string {
  const keys = side.number("keys", 1_000);
  const checker = new Checker(side.size, 0);
  for (let k = 0; k < keys; k++) {
    const value = clone.get(keyOf(k));
    if (value === undefined) throw new Error(`the map has no ${keyOf(k)}`);
    checker.take(value);
  }
  if (!checker.ordered || clone.size !== keys) throw new Error("the map has values of other keys");
  return checker.checksum;
}

const client: Role = async (side) => {
  const latencies = new Latencies();
  const checksums: string[] = [];
  const figures = { bytes: 0, memory: 0, rssGrowth: 0 };
  await side.ready();
  for (let round = 0; round < side.warmup + side.count; round++) {
    if (round === side.warmup) side.begin();
    const before = resident();
    const from = process.hrtime.bigint();
    const clone = new CloneClient(side.endpoint, { attemptTimeout: PATIENCE });
    await clone.ready();
    const nanoseconds = Number(process.hrtime.bigint() - from);
    const { bytes, memory } = clone.stats();
    if (round === 0) Object.assign(figures, { bytes, memory, ...growthSince(before) });
    const checksum = checked(clone, side);
    if (round >= side.warmup) {
      latencies.record(nanoseconds);
      checksums.push(checksum);
    }
    await clone.close();
  }
  side.end();
  const messages = side.count * side.number("keys", 1_000);
  await side.done({
    messages,
    bytes: messages * side.size,
    checksum: sumOfChecksums(checksums),
    ordered: true,
    latency: latencies.table,
    extra: figures,
  });
};

export const roles: Roles = { server, client };
