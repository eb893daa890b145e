// @ts-check
/** An order service: a contract that both ends import, two nodes that serve it, a payment behind it, and one node that goes while orders come. */
import assert from "node:assert/strict";
import { ClusterNode, defineService } from "shoal/cluster";
import { z } from "zod";

const orders = defineService({
  name: "orders",
  methods: {
    place: {
      request: z.object({ order: z.string(), item: z.string(), count: z.number().int().positive() }),
      reply: z.object({ order: z.string(), total: z.number() }),
    },
    list: { request: z.object({ item: z.string() }), stream: z.object({ order: z.string() }) },
  },
});
const prices = new Map([
  ["chair", 40],
  ["table", 120],
]);
/** In place of a database that both nodes share. @type {Map<string, { item: string, total: number }>} */
const database = new Map();
/** @type {Set<string>} */
const paid = new Set();

const cluster = `orders-${process.pid}`; // Of this program alone.
const [east, west, payments, shop] = ["east", "west", "payments", "shop"].map(
  (name) => new ClusterNode({ name, cluster }),
);
assert(east && west && payments && shop);
await Promise.all([east, west, payments, shop].map((node) => node.start()));

payments.serve("pay", (/** @type {{ order: string, total: number }} */ { order, total }) => {
  if (total > 1_000)
    throw Object.assign(new Error("the card has a limit"), { code: "CARD_LIMIT", expose: true });
  // The same order may come again, from either node: it is paid once.
  paid.add(order);
  return true;
});

for (const node of [east, west])
  node.serve(orders, {
    async place({ order, item, count }, { remaining, signal }) {
      const price = prices.get(item);
      if (price === undefined)
        throw Object.assign(new Error(`no ${item} here`), { code: "NO_ITEM", expose: true });
      // The same order again, at whichever node: it is there already.
      const known = database.get(order);
      if (known !== undefined) return { order, total: known.total };
      const total = price * count;
      // What the shop still waits is all that the payment may take.
      await node.request(
        "pay",
        { order, total },
        { timeout: remaining, signal, idempotent: true, waitForReady: true },
      );
      database.set(order, { item, total });
      return { order, total };
    },
    async *list({ item }) {
      for (const [order, { item: ordered }] of database) if (ordered === item) yield { order };
    },
  });

const client = shop.service(orders, { timeout: 10_000, waitForReady: true, idempotent: true });
assert.deepEqual(await client.place({ order: "1", item: "chair", count: 4 }), { order: "1", total: 160 });
assert.deepEqual(await client.place({ order: "1", item: "chair", count: 4 }), { order: "1", total: 160 });

// Mistakes: refused before they are sent, by the handler, and by what is behind it.
await assert.rejects(client.place({ order: "2", item: "chair", count: 0.5 }), { code: "EINVAL" });
await assert.rejects(client.place({ order: "2", item: "sofa", count: 1 }), { handlerCode: "NO_ITEM" });
await assert.rejects(client.place({ order: "2", item: "table", count: 9 }), { handlerCode: "CARD_LIMIT" });

// A node is replaced while orders come: none fails.
const many = Array.from({ length: 50 }, (_, i) =>
  client.place({ order: `many-${i}`, item: "table", count: 1 }),
);
await west.drain();
await Promise.all(many);

const tables = [];
for await (const { order } of client.list({ item: "table" })) tables.push(order);
assert.equal(tables.length, 50);
assert.equal(paid.size, database.size);
await Promise.all([east, west, payments, shop].map((node) => node.close({ linger: 0 })));
console.log(`${database.size} orders, each paid once`);
