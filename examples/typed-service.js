// @ts-check
/** A service with a contract: schemas in one place, a typed client, and handlers that get only valid requests. */
import assert from "node:assert/strict";
import {
  defineService,
  MajordomoBroker,
  MajordomoClient,
  MajordomoWorker,
  ServiceError,
} from "shoal/majordomo";
import { z } from "zod";

// In a file that both ends import.
const stock = defineService({
  name: "stock",
  methods: {
    take: {
      request: z.object({ fish: z.string(), count: z.number().int().positive() }),
      reply: z.object({ left: z.number() }),
    },
    list: {
      request: z.object({ atLeast: z.number() }),
      stream: z.object({ fish: z.string(), left: z.number() }),
    },
  },
});

const broker = new MajordomoBroker();
const endpoint = await broker.bind("tcp://127.0.0.1:*");

// The worker: a handler for each method.
const shelf = new Map([
  ["cod", 5],
  ["eel", 2],
]);
const worker = MajordomoWorker.serve(endpoint, stock, {
  take: async ({ fish, count }) => {
    const left = (shelf.get(fish) ?? 0) - count;
    if (left < 0) throw Object.assign(new Error(`not enough ${fish}`), { code: "E_STOCK", expose: true });
    shelf.set(fish, left);
    return { left };
  },
  async *list({ atLeast }) {
    for (const [fish, left] of shelf) if (left >= atLeast) yield { fish, left };
  },
});

// The client: a function for each method.
const client = new MajordomoClient(endpoint);
const service = client.service(stock, { timeout: 5_000 });
const { left } = await service.take({ fish: "cod", count: 2 });
assert.equal(left, 3);

const many = [];
for await (const { fish } of service.list({ atLeast: 3 })) many.push(fish);
assert.deepEqual(many, ["cod"]);

// What does not conform is refused before it is sent, and by the worker where a client sends it all the same.
await assert.rejects(service.take({ fish: "cod", count: 0.5 }), { code: "EINVAL" });
const raw = client.request("stock", ["take", JSON.stringify({ fish: "cod" })]);
await assert.rejects(raw, (error) => error instanceof ServiceError && error.reason === "invalid-request");

// A handler's error has its code at the client.
await assert.rejects(service.take({ fish: "eel", count: 3 }), {
  reason: "worker-failed",
  handlerCode: "E_STOCK",
});

await client.close();
await worker.close();
await broker.close();
console.log(`${left} cod are left`);
