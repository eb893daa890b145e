// @ts-check
/** Configuration that all nodes share: any node may change a key, all have it within milliseconds, and a new node has it at once. */
import assert from "node:assert/strict";
import { ClusterNode } from "shoal/cluster";

const cluster = `configuration-${process.pid}`; // Of this program alone.

/** The configuration as one node has it. */
class Configuration {
  /** @type {Map<string, unknown>} */
  #values = new Map();
  /** @type {Set<() => void>} */
  #waits = new Set();
  #node;
  #subscription;

  /** @param {ClusterNode} node */
  constructor(node) {
    this.#node = node;
    // Retained: the value of each key comes first, and then what changes.
    this.#subscription = node.subscribe("configuration/#", { retained: true }, ({ topic, data }) =>
      this.#put(topic.slice("configuration/".length), data),
    );
  }

  /** Settles when it has what the nodes that it knows have. */
  get ready() {
    return this.#subscription.ready;
  }

  /** @param {string} key */
  get(key) {
    return this.#values.get(key);
  }

  /** For all nodes. @param {string} key @param {unknown} value `undefined`: the key is taken back */
  async set(key, value) {
    const data = value === undefined ? "" : JSON.stringify(value);
    await this.#node.publish(`configuration/${key}`, data, { retain: true });
    if (value === undefined) this.#values.delete(key);
  }

  /** Settles when a key has a value that is wanted. @param {string} key @param {(value: unknown) => boolean} isWanted */
  async until(key, isWanted) {
    while (!isWanted(this.get(key)))
      await new Promise((resolve) => this.#waits.add(() => resolve(undefined)));
  }

  /** @param {string} key @param {Uint8Array} data */
  #put(key, data) {
    if (data.length === 0) this.#values.delete(key);
    else this.#values.set(key, JSON.parse(Buffer.from(data).toString()));
    const waits = [...this.#waits];
    this.#waits.clear();
    for (const wake of waits) wake();
  }
}

/** @param {string} name */
async function join(name) {
  const node = new ClusterNode({ name, cluster });
  await node.start();
  const configuration = new Configuration(node);
  return { node, configuration };
}

const [a, b] = await Promise.all([join("a"), join("b")]);
while (a.node.members({ self: false }).length === 0)
  await new Promise((resolve) => a.node.events.once("joined", resolve));
await Promise.all([a.configuration.ready, b.configuration.ready]);

// Changed at one node, read at the other.
await a.configuration.set("rate", 100);
await b.configuration.until("rate", (rate) => rate === 100);
await b.configuration.set("rate", 250);
await a.configuration.until("rate", (rate) => rate === 250);
await a.configuration.set("banner", { text: "closed on Sunday", until: "Monday" });

// Who comes later has it all.
const c = await join("c");
await c.configuration.until("rate", (rate) => rate === 250);
await c.configuration.until("banner", (banner) => banner !== undefined);

// Taken back: gone everywhere.
await a.configuration.set("banner", undefined);
await Promise.all(
  [b, c].map(({ configuration }) => configuration.until("banner", (banner) => banner === undefined)),
);
assert.deepEqual(
  [a, b, c].map(({ configuration }) => configuration.get("rate")),
  [250, 250, 250],
);
await Promise.all([a, b, c].map(({ node }) => node.close({ linger: 0 })));
console.log("all three have the same configuration");
