// @ts-check
/**
 * Cost of finding the subscribers of a topic by the number of prefixes: with the index of the engine zmtp, and by
 * scanning all prefixes while that is feasible.
 */
import b from "benny";
import { options, smoke } from "./options.js";

/** @typedef {typeof import("../../src/engine/zmtp/routing/subscription-index.js").SubscriptionIndex<object>} Index */

const index = new URL("../../dist/micro/engine/zmtp/routing/subscription-index.js", import.meta.url);
const module = await import(index.href).catch(() => undefined);
if (module === undefined) {
  console.log("subscriptions: skipped, the engine zmtp is not in this build");
} else {
  for (const count of smoke ? [10, 1_000] : [10, 1_000, 1_000_000])
    await measure(module.SubscriptionIndex, count);
}

/**
 * Prefixes of three lengths, as in hierarchies of topics; half of the topics match.
 *
 * @param {Index} SubscriptionIndex
 * @param {number} count
 */
async function measure(SubscriptionIndex, count) {
  const prefixes = Array.from({ length: count }, (_, i) => {
    const words = ["plant", String(i), "temperature"];
    return `${words.slice(0, 1 + (i % 3 === 0 ? 1 : 2)).join(".")}.`;
  });
  const topics = Array.from({ length: 1_024 }, (_, i) =>
    Buffer.from(`plant.${i % 2 === 0 ? (i * 7_919) % count : `x${i}`}.temperature.now`),
  );
  const subscribers = Array.from({ length: 16 }, (_, number) => ({ number }));
  const table = new SubscriptionIndex();
  for (const [i, prefix] of prefixes.entries())
    table.add(prefix, /** @type {object} */ (subscribers[i % 16]));
  let found = 0;
  let next = 0;
  const topic = () => /** @type {Buffer} */ (topics[next++ & 1_023]);
  const visit = () => void found++;
  const cases = [b.add("index by prefix and length", () => table.match(topic(), visit), options)];
  if (count <= 1_000) {
    const scan = () => {
      const name = topic().toString("latin1");
      for (const prefix of prefixes) if (name.startsWith(prefix)) visit();
    };
    cases.push(b.add("every prefix in turn", scan, options));
  }
  await b.suite(`match a topic, ${count} prefixes`, ...cases, b.cycle(), b.complete());
  if (found === 0) throw new Error("no topic matched: the benchmark measures nothing");
}
