/** Services with a contract, from a client over a broker to a worker, with peers of every kind. */
import { describe, expect, it } from "vitest";
import { z } from "zod";
import {
  defineService,
  MajordomoBroker,
  MajordomoClient,
  type MajordomoClientOptions,
  type MajordomoHandlers,
  type MajordomoServeOptions,
  MajordomoWorker,
  type MajordomoWorkerEvent,
} from "../../../src/patterns/index.js";
import { failure } from "../../contract/support/wait.js";
import { closeAfterEach } from "../../support/close-after-each.js";

const track = closeAfterEach();

const billing = defineService({
  name: "billing",
  methods: {
    add: { request: z.object({ amount: z.number() }), reply: z.object({ total: z.number() }) },
    history: { request: z.object({ last: z.number() }), stream: z.number() },
  },
});
/** The same service as somebody sees it whose schemas are wrong, or of another version. */
const wrong = defineService({
  name: "billing",
  methods: {
    add: { request: z.unknown(), reply: z.unknown() },
    history: { request: z.unknown(), stream: z.unknown() },
    refund: { request: z.unknown(), reply: z.unknown() },
  },
});

const handlers: MajordomoHandlers<typeof billing> = {
  add: async ({ amount }, { headers }) => ({ total: amount + Number(headers.base ?? 0) }),
  async *history({ last }) {
    for (let n = 1; n <= last; n++) yield n;
  },
};

async function begin(
  options: { worker?: MajordomoServeOptions; client?: MajordomoClientOptions } = {},
  own = handlers,
) {
  const endpoint = await track(new MajordomoBroker()).bind("tcp://127.0.0.1:*");
  const worker = track(MajordomoWorker.serve(endpoint, billing, own, options.worker));
  const client = track(new MajordomoClient(endpoint, options.client));
  await worker.ready();
  return { client, worker, service: client.service(billing) };
}

async function collect<T>(pieces: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const piece of pieces) all.push(piece);
  return all;
}

describe.each([
  ["shoal's peers", {}],
  ["a plain worker", { worker: { protocol: "0.2" } }],
  ["a plain client", { client: { protocol: "0.2" } }],
] as const)("with %s", (name, options) => {
  it("calls methods, and reads streams", async () => {
    const { service } = await begin(options);
    const totals = await Promise.all([1, 2, 3].map((amount) => service.add({ amount })));
    expect(totals).toEqual([{ total: 1 }, { total: 2 }, { total: 3 }]);
    expect(await collect(service.history({ last: 4 }))).toEqual([1, 2, 3, 4]);
  });

  it("the worker refuses what does not conform, and says so to its own program", async () => {
    const called: unknown[] = [];
    const { client, worker } = await begin(options, {
      ...handlers,
      async add(request) {
        called.push(request);
        return { total: 0 };
      },
    });
    const events: MajordomoWorkerEvent[] = [];
    worker.events.on("request:invalid", (event) => events.push(event));
    worker.events.on("handler:failed", (event) => events.push(event));
    const other = client.service(wrong);
    const refused = await failure(other.add({ amount: "3" }));
    expect(refused).toMatchObject({ code: "ERR_SERVICE", reason: "invalid-request", service: "billing" });
    expect(refused.message).toMatch(/^billing: The request of add .*amount: /);
    // MDP has no place for what an error has in addition to its text.
    const isPlain = name.includes("plain");
    expect(refused).not.toHaveProperty("handlerCode");
    if (!isPlain) expect(refused).toMatchObject({ data: { issues: [{ path: ["amount"] }] } });
    expect(await failure(other.refund(5))).toMatchObject({ reason: "no-method" });
    expect(await failure(collect(other.history("all")))).toMatchObject({ reason: "invalid-request" });
    expect(called).toEqual([]);
    expect(events).toMatchObject([
      { type: "request:invalid", error: { reason: "invalid-request" } },
      { type: "request:invalid", error: { reason: "no-method" } },
      { type: "request:invalid", error: { reason: "invalid-request" } },
    ]);
  });
});

it("a service's options are those of each call that gives none", async () => {
  const { client } = await begin();
  const service = client.service(billing, { headers: { base: "10" }, timeout: 5_000 });
  expect(await service.add({ amount: 1 })).toEqual({ total: 11 });
  expect(await service.add({ amount: 1 }, { timeout: 1_000 })).toEqual({ total: 11 });
  expect(await service.add({ amount: 1 }, { headers: undefined as never })).toEqual({ total: 11 });
  expect(await service.add({ amount: 1 }, { headers: {} })).toEqual({ total: 1 });
  const misspelled = { tiemout: 1 } as object;
  expect(await failure(service.add({ amount: 1 }, misspelled))).toMatchObject({ code: "EINVAL" });
  expect(() => client.service(billing, misspelled)).toThrow("did you mean timeout");
});

it("a call that waits when its client closes is no unhandled rejection", async () => {
  const { client, service } = await begin({}, { ...handlers, add: () => new Promise(() => undefined) });
  const call = service.add({ amount: 1 });
  await client.close();
  expect(await failure(call)).toMatchObject({ code: "EAGAIN" });
  expect(await failure(service.add({ amount: 1 }))).toMatchObject({ code: "EBADF" });
  expect(() => service.history({ last: 1 })).toThrow(expect.objectContaining({ code: "EBADF" }));
});

it("what a handler throws of another service is its own failure, whatever reason that had", async () => {
  const { client, service } = await begin(
    { worker: { concurrency: 2 } },
    {
      ...handlers,
      add: async () => {
        await client.service(wrong).refund(1);
        return { total: 0 };
      },
    },
  );
  expect(await failure(service.add({ amount: 1 }))).toMatchObject({ reason: "worker-failed" });
});

it.each([
  ["codecs of its own", { requestCodec: {} }, "requestCodec"],
  ["an unknown option", { concurency: 1 }, "did you mean concurrency"],
])("a worker with %s is refused", (_, options, message) => {
  expect(() => MajordomoWorker.serve("tcp://127.0.0.1:1", billing, handlers, options as object)).toThrow(
    expect.objectContaining({ code: "EINVAL", message: expect.stringContaining(message) }),
  );
});

it("an error whose message is larger than the broker takes reaches the client, and the worker stays", async () => {
  const broker = track(new MajordomoBroker({ socketOptions: { maxMessageSize: 32_768 } }));
  const endpoint = await broker.bind("tcp://127.0.0.1:*");
  const fail = (): never => {
    throw Object.assign(new Error("no ".repeat(20_000)), { expose: true });
  };
  const worker = track(new MajordomoWorker(endpoint, "fail", fail));
  const client = track(new MajordomoClient(endpoint));
  await worker.ready();
  expect(await failure(client.request("fail", "x"))).toMatchObject({ reason: "worker-failed" });
  expect(worker.stats()).toMatchObject({ requests: 1, failed: 1, brokers: 1 });
});
