/** Sockets of a pattern: when one of several cannot be opened the others are closed again; what waits for room at a DEALER. */
import { expect, test } from "vitest";
import { Context, Dealer, type MessageLike, Pair, Router } from "../../src/index.js";
import { SendQueue } from "../../src/kit/sockets.js";
import * as patterns from "../../src/patterns/index.js";
import { until } from "../contract/support/wait.js";

const PEER = "tcp://127.0.0.1:9";
const star = { role: "primary", peer: PEER } as const;

const MAKERS: Readonly<Record<string, readonly [sockets: number, make: (context: Context) => unknown]>> = {
  BinaryStar: [2, (context) => new patterns.BinaryStar({ ...star, socketOptions: { context } })],
  BinaryStarServer: [
    3,
    (context) =>
      new patterns.BinaryStarServer(() => "", {
        star: { ...star, socketOptions: { context } },
        socketOptions: { context },
      }),
  ],
  CloneServer: [3, (context) => new patterns.CloneServer({ context })],
  "CloneServer of a pair": [7, (context) => new patterns.CloneServer({ context, pair: star })],
  FederatedBroker: [
    6,
    (context) => new patterns.FederatedBroker("a", { socketOptions: { context }, stateOptions: { context } }),
  ],
  LastValueCache: [
    2,
    (context) => new patterns.LastValueCache({ frontendOptions: { context }, backendOptions: { context } }),
  ],
  LoadBalancer: [2, (context) => new patterns.LoadBalancer({ socketOptions: { context } })],
  PirateQueue: [2, (context) => new patterns.PirateQueue({ socketOptions: { context } })],
  SequencedPublisher: [
    2,
    (context) => new patterns.SequencedPublisher({ socketOptions: { context }, replayOptions: { context } }),
  ],
};

/** How many sockets the context can open. */
function room(context: Context): number {
  const opened: Pair[] = [];
  try {
    for (;;) opened.push(new Pair({ context }));
  } catch {
    return opened.length;
  } finally {
    for (const each of opened) void each.close({ linger: 0 });
  }
}

test.each(Object.entries(MAKERS))("%s leaves no socket open when one cannot be opened", async (_, [
  sockets,
  make,
]) => {
  for (let maxSockets = 1; maxSockets < sockets; maxSockets++) {
    const context = new Context({ maxSockets });
    expect(() => make(context)).toThrow(expect.objectContaining({ code: "EMFILE" }));
    await until(() => room(context) === maxSockets, `room for ${maxSockets} sockets`);
  }
  expect(() => make(new Context({ maxSockets: sockets }))).not.toThrow();
});

/** Has room for what waits, one by one. */
class OneByOne extends Dealer {
  readonly taken: string[] = [];

  override trySend(): boolean {
    return false;
  }

  override async send(message: MessageLike): Promise<void> {
    this.taken.push(String(message));
  }
}

test("a send queue reports a message that has left after it has said that it waits", async () => {
  const dealer = new OneByOne();
  let emptied = 0;
  const queue = new SendQueue(dealer, () => {
    emptied += 1;
  });
  const sending = queue.send(["body"]);
  expect([sending, queue.length]).toEqual([expect.any(Promise), 1]);
  expect([await sending, queue.length, emptied]).toEqual([true, 0, 1]);
  await dealer.close({ linger: 0 });
});

test("a send queue sends once what is handed in as another one has left", async () => {
  const dealer = new OneByOne();
  const heard: string[] = [];
  const queue = new SendQueue(dealer);
  const send = async (name: string, next: readonly string[] = []): Promise<void> => {
    await queue.send([name]);
    heard.push(name);
    await Promise.all(next.map((each) => send(each)));
  };
  await send("1", ["2", "3", "4"]);
  expect(dealer.taken).toEqual(["1", "2", "3", "4"]);
  expect(heard).toEqual(["1", "2", "3", "4"]);
  await dealer.close({ linger: 0 });
});

test("a send queue loses no message that waits until there is a peer, however many, and in order", async () => {
  const dealer = new Dealer({ maxPendingSends: 1 });
  const left: string[] = [];
  const queue = new SendQueue(dealer);
  const texts = Array.from({ length: 20_000 }, (_, n) => String(n));
  const sending = texts.map(async (text) => (await queue.send([text])) && left.push(text));
  expect(queue.length).toBe(texts.length);
  const router = new Router();
  dealer.connect(await router.bind("inproc://send-queue"));
  const got: string[] = [];
  while (got.length < texts.length) got.push(...(await router.receiveMany()).map(([, text]) => String(text)));
  await Promise.all(sending);
  expect([queue.length, left, got]).toEqual([0, texts, texts]);
  await Promise.all([dealer.close({ linger: 0 }), router.close({ linger: 0 })]);
});

test("a send queue reports what waits as not sent when the socket closes, and what comes after it", async () => {
  const dealer = new Dealer();
  const queue = new SendQueue(dealer);
  const sending = [queue.send(["1"]), queue.send(["2"])];
  await dealer.close({ linger: 0 });
  expect(await Promise.all([...sending, queue.send(["3"])])).toEqual([false, false, false]);
});
