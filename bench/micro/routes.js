// @ts-check
/**
 * Cost of finding the nodes of a topic by the number of routes: exact ones; filters with "+" and "#" as MQTT users
 * have them, five levels deep; and filters of sixty random shapes, of which about thirty match each topic. First the
 * costs of the table: bytes per route, routes per second.
 *
 *   node bench/micro/routes.js [COUNT …]     default 10,000 100,000 1,000,000; 10000000 take 1 GB and some minutes
 *
 * Routes per second use processor time, so that other work on the machine matters little.
 */
import b from "benny";
import { options, smoke } from "./options.js";

/** @typedef {import("../../src/cluster/messaging/route-table.js").RouteTable} Table */
/** @typedef {import("../../src/cluster/messaging/route-table.js").RouteNode} Node */

/** @type {{ RouteTable: new () => Table }} */
const { RouteTable } = await import(
  new URL("../../dist/micro/cluster/messaging/route-table.js", import.meta.url).href
);

const KINDS = ["sensor", "pump", "door", "meter", "light", "valve"];
const METRICS = ["temperature", "state", "power", "humidity", "alarm"];
const NODES = 50;
const TOPICS = 131_072;
const BATCH = 20_000;

/** @param {number} device */
function levels(device) {
  return [
    `org${device % 97}`,
    `site${device % 1_009}`,
    KINDS[device % 6],
    String(device),
    METRICS[device % 5],
  ];
}

/** @param {number} i */
function exact(i) {
  return `plant/${i % 1_000}/line/${Math.floor(i / 1_000)}/temp`;
}

/** A quarter exact, half with "+", a quarter with "#". @param {number} i */
function mixed(i) {
  const [org, site, kind, device, metric] = levels(i);
  switch (i % 8) {
    case 0:
    case 1:
      return [org, site, kind, device, metric].join("/");
    case 2:
      return [org, "+", kind, device, metric].join("/");
    case 3:
      return [org, site, "+", device, "+"].join("/");
    case 4:
      return ["+", "+", kind, device, "#"].join("/");
    case 5:
      return [org, site, kind, device, "#"].join("/");
    case 6:
      return ["+", site, "+", device, metric].join("/");
    default:
      return [org, site, kind, device, "+"].join("/");
  }
}

/** Sixty shapes of filters of up to five levels: the number of levels, which are "+", and whether "#" follows. */
const SHAPES = (() => {
  const shapes = [];
  for (let count = 1; count <= 5; count++)
    for (let mask = 0; mask < 2 ** count; mask++)
      for (const tail of count < 5 ? [true] : [true, false]) shapes.push({ count, mask, tail });
  // About every other shape, in a fixed order.
  return shapes.sort((a, b) => rank(a) - rank(b)).slice(0, 60);
})();

/** @param {{ count: number, mask: number, tail: boolean }} shape */
function rank({ count, mask, tail }) {
  return ((count * 64 + mask * 2 + Number(tail)) * 40_503) % 65_536;
}

/** @param {number} i */
function random(i) {
  const { count, mask, tail } = /** @type {(typeof SHAPES)[number]} */ (SHAPES[i % SHAPES.length]);
  const parts = levels(i)
    .slice(0, count)
    .map((text, level) => (((mask >> level) & 1) === 1 ? "+" : text));
  return [...parts, ...(tail ? ["#"] : [])].join("/");
}

/** Flattens a string that consists of parts. @param {string} text */
function flat(text) {
  return Buffer.from(text).toString("latin1");
}

/** Permutes 0 … n - 1. @param {number} i @param {number} n */
function scattered(i, n) {
  return (i * 2_654_435_761) % n;
}

/**
 * @param {string} what
 * @param {number} count
 * @param {(i: number) => string} filterOf
 * @param {(i: number) => string} topicOf
 */
async function measure(what, count, filterOf, topicOf) {
  const table = new RouteTable();
  const nodes = Array.from({ length: NODES }, () => table.takeNode());
  for (const [i, node] of nodes.entries()) node.owner = String(i);
  let cpu = 0;
  let longest = 0;
  for (let from = 0; from < count; from += BATCH) {
    const filters = [];
    for (let i = from; i < Math.min(count, from + BATCH); i++) filters.push(flat(filterOf(i)));
    const start = process.cpuUsage();
    for (const [i, filter] of filters.entries()) {
      const began = performance.now();
      table.add(filter, /** @type {Node} */ (nodes[i % NODES]));
      longest = Math.max(longest, performance.now() - began);
    }
    const { user, system } = process.cpuUsage(start);
    cpu += user + system;
  }
  console.log(
    `${what}: ${table.size} routes, ${(table.bytes() / count).toFixed(1)} bytes each, ` +
      `${(count / cpu).toFixed(2)} M added a second, the longest call ${longest.toFixed(1)} ms`,
  );
  const topics = Array.from({ length: Math.min(TOPICS, count) }, (_, i) =>
    flat(topicOf(scattered(i, count))),
  );
  /** @type {string[]} */
  const ids = [];
  let found = 0;
  let next = 0;
  const match = () => {
    ids.length = 0;
    table.match(/** @type {string} */ (topics[next]), ids);
    found += ids.length;
    next = next + 1 === topics.length ? 0 : next + 1;
  };
  for (let i = 0; i < topics.length; i++) match();
  const start = process.cpuUsage();
  const rounds = smoke ? 1 : 8;
  for (let i = 0; i < rounds * topics.length; i++) match();
  const { user, system } = process.cpuUsage(start);
  console.log(`${what}: ${((rounds * topics.length) / (user + system)).toFixed(2)} M topics a second`);
  await b.suite(
    `match a topic, ${count} routes, ${what}`,
    b.add("match", match, options),
    b.cycle(),
    b.complete(),
  );
  if (found === 0) throw new Error("no topic matched: the benchmark measures nothing");
}

const given = process.argv.slice(2).flatMap((text) => (text.startsWith("--") ? [] : [Number(text)]));
const counts = given.length > 0 ? given : smoke ? [1_000] : [10_000, 100_000, 1_000_000];
for (const count of counts) {
  await measure("exact", count, exact, exact);
  await measure("with + and #", count, mixed, (i) => levels(i).join("/"));
  await measure("of random shapes", count, random, (i) => levels(i).join("/"));
}
