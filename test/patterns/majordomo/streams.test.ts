/** Answers in pieces, and answers past what a connection takes, over sockets: all arrives, or the client gets an error. */
import { describe, expect, it } from "vitest";
import { Dealer, json, type Raw, text } from "../../../src/index.js";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "../../../src/patterns/index.js";
import type {
  MajordomoBrokerOptions,
  MajordomoRequestContext,
} from "../../../src/patterns/majordomo/index.js";
import { failure, until, within } from "../../contract/support/wait.js";
import { type Child, start } from "../../process/child.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { gate } from "../../support/gate.js";
import { LONG } from "../../support/long.js";

const track = closeAfterEach();

async function brokerOf(options?: MajordomoBrokerOptions): Promise<[MajordomoBroker, string]> {
  const broker = track(new MajordomoBroker(options));
  return [broker, await broker.bind("tcp://127.0.0.1:*")];
}

/** A program of its own, which can be stopped and killed. */
function program(source: string, ...args: string[]): Child {
  const imports = 'import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "shoal/patterns";';
  const child = start(`${imports}\n${source}`, { args, limit: LIMIT });
  track({ close: () => child.kill() });
  return child;
}

/** A broker that can be stopped. */
async function otherBroker(): Promise<{ endpoint: string; child: Child }> {
  const child = program(`
    const broker = new MajordomoBroker();
    await broker.bind("tcp://127.0.0.1:*");
    console.log(broker.lastEndpoint);
  `);
  return { endpoint: await child.line(), child };
}

/** Pieces without end. @param end hears that the generator was left */
async function* endless<T>(piece: T, end: () => void = () => undefined): AsyncGenerator<T, undefined> {
  try {
    for (;;) yield piece;
  } finally {
    end();
  }
}

const LIMIT = 60_000;
const PATIENT = { heartbeatInterval: 60_000 };

describe("an answer in pieces", () => {
  it("may have no pieces at all, with a codec, too", async () => {
    const [, endpoint] = await brokerOf();
    track(new MajordomoWorker(endpoint, "nothing", async function* () {}));
    for (const options of [{}, { replyCodec: json() }]) {
      const client = track(new MajordomoClient<Raw, unknown>(endpoint, options));
      const pieces = [];
      for await (const piece of client.stream("nothing", "")) pieces.push(piece);
      expect(pieces).toEqual([]);
    }
  });

  it.each([
    "a plain worker",
    "a generator",
  ])("of %s is broken off with a reason when its plain client does not read", async (by) => {
    const [broker, endpoint] = await brokerOf({ maxClientBytes: 2_000_000 });
    const piece = Buffer.alloc(100_000);
    const client = track(new Dealer({ receiveHighWaterMark: 1 }));
    client.connect(endpoint);
    if (by === "a generator") {
      track(new MajordomoWorker(endpoint, "flood", () => endless(piece)));
      await client.send(["MDPC02", "\x01", "flood", "x"]);
    } else {
      const worker = track(new Dealer());
      worker.connect(endpoint);
      await worker.send(["MDPW02", "\x01", "flood"]);
      await client.send(["MDPC02", "\x01", "flood", "x"]);
      const [, , tag = ""] = await worker.receive();
      while (broker.stats().repliesDropped === 0) await worker.send(["MDPW02", "\x03", tag, "", piece]);
      await worker.send(["MDPW02", "\x04", tag, "", "end"]);
    }
    await until(() => broker.stats().failed === 1, "the request's end");
    let last: Buffer[] = [];
    let pieces = -1;
    for (; last[1]?.[0] !== 3; pieces++) last = await client.receive();
    // The kernel has buffers, too.
    expect(pieces).toBeLessThan(300);
    expect(last.slice(3, 5).map(String)).toEqual(["shoal.error", "slow-reader"]);
  });

  it("ends at its worker as soon as the connection of its client does", async () => {
    const [broker, endpoint] = await brokerOf(PATIENT);
    const ended = new Promise<boolean>((resolve) => {
      const handler = (_: Buffer[], { signal }: MajordomoRequestContext) =>
        endless("piece".padEnd(1_000), () => resolve(signal.aborted));
      track(new MajordomoWorker(endpoint, "flood", handler, PATIENT));
    });
    const client = program(
      `const client = new MajordomoClient(process.argv[1], { heartbeatInterval: 60_000, timeout: 600_000 });
      for await (const piece of client.stream("flood", "x")) {
        console.log("reads");
        await new Promise(() => setInterval(() => undefined, 1_000));
      }`,
      endpoint,
    );
    await client.heard("reads");
    await client.kill();
    expect(await within(ended, "the generator's end")).toBe(true);
    await until(() => broker.stats().abandoned === 1, "the request's end");
  });

  it("is cancelled when the client's codec refuses a piece", async () => {
    const [broker, endpoint] = await brokerOf();
    const { passed: ended, open: end } = gate();
    track(new MajordomoWorker(endpoint, "flood", () => endless("no JSON".padEnd(1_000), end)));
    const client = track(new MajordomoClient<Raw, unknown>(endpoint, { replyCodec: json() }));
    const pieces = client.stream("flood", "x");
    const reading = (async () => {
      for await (const _ of pieces);
    })();
    expect(await failure(reading)).toMatchObject({ code: "ERR_INVALID_MESSAGE" });
    await within(ended, "the generator's end");
    expect(client.stats()).toMatchObject({ cancelled: 1, inFlight: 0 });
    expect(await pieces.next()).toEqual({ value: undefined, done: true });
    await until(() => broker.stats().abandoned === 1, "the request's end");
  });

  it("leaves its generator when the worker's codec refuses a piece", async () => {
    const [, endpoint] = await brokerOf();
    const { passed: ended, open: end } = gate();
    const wrong = () => endless(5 as never, end);
    const worker = track(new MajordomoWorker(endpoint, "wrong", wrong, { replyCodec: text() }));
    worker.events.on("handler:failed", () => undefined);
    const client = track(new MajordomoClient(endpoint));
    const reading = (async () => {
      for await (const _ of client.stream("wrong", "x"));
    })();
    expect(await failure(reading)).toMatchObject({ code: "ERR_SERVICE" });
    await within(ended, "the generator's end");
  });
});

it.runIf(LONG)(
  "25,000 replies that are made while the broker stands still all arrive",
  { timeout: LIMIT },
  async () => {
    const { endpoint, child } = await otherBroker();
    const count = 25_000;
    let begun = 0;
    const { passed: released, open: release } = gate();
    const handler = async (request: Buffer[]): Promise<Buffer[]> => {
      begun += 1;
      await released;
      return [...request, Buffer.alloc(1_000)];
    };
    const worker = track(new MajordomoWorker(endpoint, "hold", handler, { concurrency: 30_000 }));
    const client = track(new MajordomoClient(endpoint, { maxInFlight: 30_000, timeout: LIMIT, retries: 0 }));
    const all = Promise.allSettled(
      Array.from({ length: count }, (_, i) => client.request("hold", String(i))),
    );
    await until(() => begun === count, "all requests in flight", LIMIT);
    child.process.kill("SIGSTOP");
    release();
    await until(() => worker.stats().unsentBytes > 0, "replies that wait for room");
    child.process.kill("SIGCONT");
    const lost = (await within(all, "every end", LIMIT)).filter(({ status }) => status === "rejected");
    expect(lost.length).toBe(0);
    expect(worker.stats()).toMatchObject({ answered: count, running: 0, unsentBytes: 0 });
  },
);
