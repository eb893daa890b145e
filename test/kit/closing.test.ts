/** Closing a client while calls are under way that nobody looks at: the program's own doing, no unhandled rejection. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { setImmediate as turn } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { TimeoutError } from "../../src/core/errors.js";
import type { Codec } from "../../src/index.js";
import * as patterns from "../../src/patterns/index.js";
import { Router } from "../../src/sockets/request-reply.js";
import { until } from "../contract/support/wait.js";
import { sharedFolder } from "../support/folders.js";

const folder = sharedFolder();
/** Somebody who never answers. */
const endpoint = `ipc://${folder}/silent`;
/** Nobody is there. */
const other = `ipc://${folder}/nobody`;
const silent = new Router();
beforeAll(() => silent.bind(endpoint));
afterAll(() => silent.close({ linger: 0 }));

/** Once for a block: rejections that nobody handles come here, and not to the runner, which would fail. @returns those of a test */
function collectUnhandled(): () => Promise<readonly unknown[]> {
  let errors: unknown[] = [];
  let others: NodeJS.UnhandledRejectionListener[] = [];
  const listener = (error: unknown): void => void errors.push(error);
  beforeEach(() => {
    errors = [];
    others = process.listeners("unhandledRejection");
    process.removeAllListeners("unhandledRejection");
    process.on("unhandledRejection", listener);
  });
  afterEach(() => {
    process.off("unhandledRejection", listener);
    for (const each of others) process.on("unhandledRejection", each);
  });
  return async () => {
    // One is reported once the microtasks have run.
    for (let i = 0; i < 10; i++) await turn();
    return errors;
  };
}

interface Closing {
  /** Calls that wait. */
  readonly calls: Promise<unknown>[];
  close(): Promise<unknown>;
}

function closing<C extends { close(): Promise<unknown> }>(
  client: C,
  begin: (client: C) => Promise<unknown>[],
): Closing {
  return { calls: begin(client), close: () => client.close() };
}

type OneByOne = patterns.PirateClient | patterns.FreelanceFailoverClient | patterns.BinaryStarClient;
const two = (client: OneByOne) => [client.request("under way"), client.request("waits")];
const { signal } = new AbortController();

/** Looked up by name: each begins calls that wait until the client closes. */
const clients: Record<string, () => Closing> = {
  "Majordomo: request, stream": () =>
    closing(new patterns.MajordomoClient(endpoint), (client) => [
      client.request("s", "body"),
      client.request("s", "body", { signal }),
      client.stream("s", "body").next(),
      client.stream("s", "body", { signal }).next(),
    ]),
  Titanic: () =>
    closing(new patterns.MajordomoClient(endpoint), (client) => {
      const requests = new patterns.TitanicClient(client);
      const uuid = requests.newUuid();
      return [
        requests.request("s", "body"),
        requests.reply(uuid),
        requests.wait(uuid),
        requests.forget(uuid),
      ];
    }),
  Pirate: () => closing(new patterns.PirateClient(endpoint), two),
  "Freelance, model 1": () => closing(new patterns.FreelanceFailoverClient([endpoint]), two),
  "Freelance, model 2": () =>
    closing(new patterns.FreelanceShotgunClient([endpoint]), (client) => [client.request("body")]),
  "Freelance, model 3": () =>
    closing(new patterns.FreelanceClient([endpoint]), (client) => [client.request("body")]),
  "Binary Star": () => closing(new patterns.BinaryStarClient([endpoint, other]), two),
  "Clone: set, delete": () =>
    closing(new patterns.CloneClient(endpoint), (client) => [
      client.ready(),
      client.set("k", "v"),
      client.set("k", "v", { signal }),
      client.delete("k"),
    ]),
  "Sequenced: receive": () => closing(new patterns.SequencedSubscriber(), (client) => [client.receive()]),
  "Suicidal Snail": () => closing(new patterns.SuicidalSnail(), (client) => [client.receive()]),
  Espresso: () => closing(new patterns.EspressoListener(endpoint), (client) => [client.receiveMany()]),
  "events of a pattern": () => {
    const events = new patterns.EventStream<{ readonly type: "none" }>();
    return { calls: [events.receive()], close: async () => events.close() };
  },
};

const ANY = "tcp://127.0.0.1:*";

const servers = {
  "Clone server": () => new patterns.CloneServer(),
  "Freelance server": () => new patterns.FreelanceServer(() => ""),
  "Load balancer": () => new patterns.LoadBalancer(),
  "Majordomo broker": () => new patterns.MajordomoBroker(),
  "Sequenced publisher": () => new patterns.SequencedPublisher(),
};

describe("closing with calls that nobody looks at", () => {
  const unhandled = collectUnhandled();

  async function closeUnseen(name: string): Promise<void> {
    const { close } = (clients[name] as () => Closing)();
    await turn();
    await close();
    expect(await unhandled()).toEqual([]);
  }

  test.for(Object.keys(clients))("%s", async (name) => {
    await closeUnseen(name);
  });

  test("Majordomo: request, stream, traced", async () => {
    const trace = (): void => undefined;
    subscribe("shoal.request.start", trace);
    try {
      await closeUnseen("Majordomo: request, stream");
    } finally {
      unsubscribe("shoal.request.start", trace);
    }
  });

  test.each(Object.entries(servers))("%s: closed while it binds", async (_, make) => {
    const server = make();
    const binding = server instanceof patterns.LoadBalancer ? server.bind("frontend", ANY) : server.bind(ANY);
    const bound = binding.catch(({ code }: { code?: string }) => code);
    await server.close();
    expect((await bound) ?? "no code").toMatch(/^(tcp:.*|EBADF|EADDRNOTAVAIL)$/);
    expect(await unhandled()).toEqual([]);
  });

  test.for(Object.keys(clients))("%s: who looks hears of it", async (name) => {
    const { calls, close } = (clients[name] as () => Closing)();
    const ended = Promise.allSettled(calls);
    await turn();
    await close();
    const code = name === "events of a pattern" ? "EBADF" : "EAGAIN";
    for (const result of await ended) expect(result).toMatchObject({ status: "rejected", reason: { code } });
  });
});

test("Majordomo: a drain does not wait for the question about a service that nobody knows", async () => {
  const client = new patterns.MajordomoClient(endpoint);
  const { requests } = client.stats();
  await expect(client.request("s", "body", { timeout: 1, retries: 0 })).rejects.toThrow(TimeoutError);
  await until(() => client.stats().requests === requests + 2, "the question");
  // The question has 30 s.
  await client.drain({ timeout: 15_000 });
  await client.close();
});

test.each([
  ["Pirate", () => new patterns.PirateWorker(other, () => "")],
  ["Majordomo", () => new patterns.MajordomoWorker(other, "s", () => "")],
])("%s: a worker that drains ends the waits for its first connection, also those that nobody awaits", async (_, make) => {
  const worker = make();
  void worker.ready();
  const ready = worker.ready();
  await worker.drain();
  await expect(ready).rejects.toMatchObject({ code: "EAGAIN" });
  await expect(worker.ready()).rejects.toMatchObject({ code: "EAGAIN" });
  await worker.close();
});

describe("a codec that closes its client", () => {
  const codecFor = (close: () => unknown) => {
    const encode = (): string => {
      void close();
      return "x";
    };
    return { name: "closing", encode, decode: () => "" };
  };
  test.each([
    [
      "LoadBalancerClient",
      (requestCodec: Codec<string>) =>
        new patterns.LoadBalancerClient(endpoint, { requestCodec, timeout: -1 }),
    ],
    ["FreelanceClient", (codec: Codec<string>) => new patterns.FreelanceClient(endpoint, { codec })],
    ["PirateClient", (requestCodec: Codec<string>) => new patterns.PirateClient(endpoint, { requestCodec })],
    [
      "FreelanceShotgunClient",
      (codec: Codec<string>) => new patterns.FreelanceShotgunClient(endpoint, { codec, timeout: -1 }),
    ],
  ])("ends its call, too (%s)", async (_, make) => {
    const client: { request(body: string): Promise<unknown>; close(): unknown } = make(
      codecFor(() => client.close()),
    );
    await expect(client.request("body")).rejects.toMatchObject({ code: "EBADF" });
  });
});
