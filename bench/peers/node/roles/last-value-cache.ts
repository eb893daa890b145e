/** A last value cache between a publisher and a subscriber (feed.ts). */
import { LastValueCache } from "shoal/patterns";
import { Checker } from "../../../bodies.js";
import type { Side } from "../side.js";
import { backendOf, caseOptions } from "./case-options.js";
import { feed, PROBE, reader, topicsOf } from "./feed.js";
import type { Role, Roles } from "./role.js";

/** @throws Error unless the cache has exactly the last message of each topic */
function check(cache: LastValueCache, side: Side): void {
  const topics = topicsOf(side);
  const total = side.warmup + side.count;
  const first = Math.max(0, total - topics.length);
  const checker = new Checker(side.size, 0, first);
  for (let k = first; k < total; k++) {
    const value = cache.get(topics[k % topics.length] as Buffer)?.[1];
    if (value === undefined) throw new Error(`the cache has no value of message ${k}`);
    checker.take(value);
  }
  const others = cache.get(PROBE) === undefined ? 0 : 1;
  if (!checker.ordered || cache.stats().topics !== total - first + others)
    throw new Error("the cache has other values than the last ones");
}

const forwarder: Role = async (side) => {
  // The outgoing mark is the default of caches: room for one value of each topic.
  const cache = new LastValueCache({ frontendOptions: caseOptions(side, "in") });
  const frontend = await cache.bind("frontend", side.endpoint);
  const backend = await cache.bind("backend", backendOf(side.endpoint));
  await side.ready(frontend, backend);
  await side.stopped;
  check(cache, side);
  await side.done({ messages: side.count, bytes: side.count * side.size });
  await cache.close({ linger: 0 });
};

export const roles: Roles = { forwarder, feed, reader };
