/** Objects of a program that are not what their types say: the call is refused, and later ones go on. */
import { describe, expect, test } from "vitest";
import type { Codec } from "../../../src/index.js";
import {
  BinaryStar,
  EspressoTap,
  FreelanceClient,
  FreelanceFailoverClient,
  FreelanceServer,
  FreelanceShotgunClient,
  LoadBalancer,
  LoadBalancerClient,
  MajordomoBroker,
  MajordomoClient,
  MajordomoWorker,
  PirateClient,
  PirateQueue,
  PirateWorker,
} from "../../../src/patterns/index.js";
import { Subscriber } from "../../../src/sockets/pub-sub.js";
import { closeAfterEach } from "../../support/close-after-each.js";

const ANY = "tcp://127.0.0.1:*";

const kept = closeAfterEach();

type Text = Codec<string>;
type Ask = (body: string, options?: { readonly signal: AbortSignal }) => Promise<unknown>;

const echo = ([body]: readonly Buffer[]): Buffer => body as Buffer;

/** Looked up by name: each starts a service, and a client with a codec of its requests. */
const CLIENTS: Readonly<Record<string, (codec: Text) => Promise<Ask>>> = {
  FreelanceClient: async (codec) => {
    const client = kept(new FreelanceClient(await kept(new FreelanceServer(echo)).bind(ANY), { codec }));
    return (body, options) => client.request(body, options);
  },
  FreelanceFailoverClient: async (codec) => {
    const endpoint = await kept(new FreelanceServer(echo, { model: 1 })).bind(ANY);
    const client = kept(new FreelanceFailoverClient(endpoint, { codec }));
    return (body, options) => client.request(body, options);
  },
  FreelanceShotgunClient: async (codec) => {
    const endpoint = await kept(new FreelanceServer(echo, { model: 2 })).bind(ANY);
    const client = kept(new FreelanceShotgunClient(endpoint, { codec }));
    return (body, options) => client.request(body, options);
  },
  LoadBalancerClient: async (requestCodec) => {
    const broker = kept(new LoadBalancer());
    kept(new PirateWorker(await broker.bind("backend", ANY), echo, { dialect: "simple" }));
    const client = kept(new LoadBalancerClient(await broker.bind("frontend", ANY), { requestCodec }));
    return (body, options) => client.request(body, options);
  },
  MajordomoClient: async (requestCodec) => {
    const endpoint = await kept(new MajordomoBroker()).bind(ANY);
    kept(new MajordomoWorker(endpoint, "echo", echo));
    const client = kept(new MajordomoClient(endpoint, { requestCodec }));
    return (body, options) => client.request("echo", body, options);
  },
  PirateClient: async (requestCodec) => {
    const queue = kept(new PirateQueue());
    kept(new PirateWorker(await queue.bind("backend", ANY), echo));
    const client = kept(new PirateClient(await queue.bind("frontend", ANY), { requestCodec }));
    return (body, options) => client.request(body, options);
  },
};

/** What `encode` returns for a text of this name, or throws. */
const ENCODED: Readonly<Record<string, () => unknown>> = {
  throws: () => {
    throw new Error("no");
  },
  undefined: () => undefined,
  object: () => ({}),
  bigint: () => 1n,
  promise: async () => "late",
  "empty list": () => [],
  "nested list": () => [["a"]],
};

const text: Text = {
  name: "text",
  encode: (value) => (ENCODED[value]?.() ?? (value in ENCODED ? undefined : value)) as string,
  decode: String,
};

describe.each(Object.entries(CLIENTS))("a %s", (_, start) => {
  test("refuses a request that its codec does not encode to a frame, and sends the next", async () => {
    const ask = await start(text);
    const refused = Object.keys(ENCODED).map((name) => ask(name));
    const sent = ask("fine");
    for (const [i, result] of (await Promise.allSettled(refused)).entries()) {
      const code = i === 0 ? "ERR_INVALID_MESSAGE" : "EINVAL";
      expect(result, Object.keys(ENCODED)[i]).toMatchObject({ status: "rejected", reason: { code } });
    }
    expect(String(await sent)).toBe("fine");
  });

  test("refuses a signal whose listener cannot be removed, and sends the next request", async () => {
    const ask = await start(text);
    const signal = { aborted: false, addEventListener: () => undefined } as unknown as AbortSignal;
    await expect(ask("never", { signal })).rejects.toMatchObject({ code: "EINVAL" });
    expect(String(await ask("fine"))).toBe("fine");
  });
});

test("a Majordomo client counts the calls that its close ends", async () => {
  const client = kept(new MajordomoClient("tcp://127.0.0.1:9"));
  const calls = [client.request("echo", "a"), client.request("echo", "b")];
  await client.close();
  await Promise.allSettled(calls);
  expect(client.stats()).toMatchObject({ requests: 2, cancelled: 2, pending: 0, inFlight: 0 });
});

test("the capture of a tap that its predicate closed does not throw", async () => {
  const where = (): boolean => {
    void tap.close();
    return true;
  };
  const tap: EspressoTap = kept(new EspressoTap({ filter: { where } }));
  const subscriber = kept(new Subscriber());
  subscriber.subscribe();
  subscriber.connect(await tap.bind(ANY));
  await tap.events.receive();
  tap.capture("frontend", [Buffer.from("last")]);
  expect(tap.stats()).toMatchObject({ passed: 1, published: 0, refused: 1 });
});

test.each([
  {},
  { position: echo, compare: echo, mayTakeOver: echo },
])("a Binary Star refuses a replica without the methods of one", (replica) => {
  const options = { role: "primary", peer: "tcp://127.0.0.1:9", replica } as never;
  expect(() => kept(new BinaryStar(options))).toThrow(
    expect.objectContaining({ code: "EINVAL", message: expect.stringContaining("replica") }),
  );
});
