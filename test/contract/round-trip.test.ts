import { expect, it } from "vitest";
import type { MessageLike, Socket } from "../../src/index.js";
import { describeTransports } from "./support/engines.js";
import { texts, untilReceived } from "./support/wait.js";
import type { World } from "./support/world.js";

type Talker = Socket & {
  send?(message: MessageLike | MessageLike[]): Promise<void>;
  receive?(options?: { timeout?: number }): Promise<Buffer[]>;
};
type Side = (world: World) => Talker;

interface PairUnderTest {
  readonly name: string;
  readonly a: Side;
  readonly b: Side;
  /** Sends from a to b, and back where the pattern allows; gives what came out. */
  readonly exchange: (a: Talker, b: Talker) => Promise<string[][]>;
}

const WAIT = { timeout: 8_000 };
const receive = (socket: Talker): Promise<Buffer[]> => (socket.receive as Required<Talker>["receive"])(WAIT);
const send = (socket: Talker, ...frames: MessageLike[]): Promise<void> =>
  (socket.send as Required<Talker>["send"])(frames);

/** Both directions, frames as they are. */
async function symmetric(a: Talker, b: Talker): Promise<string[][]> {
  await send(a, "one", "", "two");
  const there = texts(await receive(b));
  await send(b, "three", "four");
  return [there, texts(await receive(a))];
}

/** b receives an envelope first and answers into it. */
async function routed(a: Talker, b: Talker): Promise<string[][]> {
  await send(a, "one", "", "two");
  const [id, ...there] = (await receive(b)) as [Buffer, ...Buffer[]];
  await send(b, id, ...there.slice(0, there.findIndex((frame) => frame.length === 0) + 1), "three", "four");
  const back = texts(await receive(a));
  return [texts(there), back];
}

async function published(a: Talker, b: Talker): Promise<string[][]> {
  return [texts(await untilReceived(() => send(a, "topic", "", "body"), receive(b)))];
}

const subscribed =
  (make: (world: World) => { subscribe(prefix: string): void } & Talker): Side =>
  (world) => {
    const socket = make(world);
    socket.subscribe("top");
    return socket;
  };
const xSubscribed: Side = (world) => {
  const socket = world.xSubscriber();
  void socket.send("\u0001top");
  return socket;
};

const SYMMETRIC = [
  ["one", "", "two"],
  ["three", "four"],
];
const PUBLISHED = [["topic", "", "body"]];

const PAIRS: (PairUnderTest & { readonly expected: string[][] })[] = [
  {
    name: "PUSH to PULL",
    a: (world) => world.push(),
    b: (world) => world.pull(),
    exchange: async (a, b) => {
      await send(a, "one", "", "two");
      return [texts(await receive(b))];
    },
    expected: [["one", "", "two"]],
  },
  ...(["publisher", "xPublisher"] as const).flatMap((publisher) => [
    {
      name: `${publisher === "publisher" ? "PUB" : "XPUB"} to SUB`,
      a: (world: World) => world[publisher](),
      b: subscribed((world) => world.subscriber()),
      exchange: published,
      expected: PUBLISHED,
    },
    {
      name: `${publisher === "publisher" ? "PUB" : "XPUB"} to XSUB`,
      a: (world: World) => world[publisher](),
      b: xSubscribed,
      exchange: published,
      expected: PUBLISHED,
    },
  ]),
  {
    name: "REQ and REP",
    a: (world) => world.request(),
    b: (world) => world.reply(),
    exchange: symmetric,
    expected: SYMMETRIC,
  },
  {
    name: "REQ and ROUTER",
    a: (world) => world.request(),
    b: (world) => world.router(),
    exchange: routed,
    expected: [
      ["", "one", "", "two"],
      ["three", "four"],
    ],
  },
  {
    name: "DEALER and REP",
    a: (world) => world.dealer(),
    b: (world) => world.reply(),
    exchange: async (a, b) => {
      await send(a, "hop", "", "one", "", "two");
      const there = texts(await receive(b));
      await send(b, "three", "four");
      return [there, texts(await receive(a))];
    },
    expected: [
      ["one", "", "two"],
      ["hop", "", "three", "four"],
    ],
  },
  {
    name: "DEALER and ROUTER",
    a: (world) => world.dealer(),
    b: (world) => world.router(),
    exchange: routed,
    expected: [
      ["one", "", "two"],
      ["one", "", "three", "four"],
    ],
  },
  {
    name: "DEALER and DEALER",
    a: (world) => world.dealer(),
    b: (world) => world.dealer(),
    exchange: symmetric,
    expected: SYMMETRIC,
  },
  {
    name: "PAIR and PAIR",
    a: (world) => world.pair(),
    b: (world) => world.pair(),
    exchange: symmetric,
    expected: SYMMETRIC,
  },
];

describeTransports("round trips", (world) => {
  for (const { name, a, b, exchange, expected } of PAIRS) {
    it(`${name}: the first binds`, async () => {
      const [first, second] = await world.linked(a(world), b(world));
      expect(await exchange(first, second)).toEqual(expected);
    });

    it(`${name}: the second binds`, async () => {
      const [second, first] = await world.linked(b(world), a(world));
      expect(await exchange(first, second)).toEqual(expected);
    });

    it(`${name}: connected before the other side binds`, async () => {
      const [first, second, scout] = [a(world), b(world), b(world)];
      const endpoint = await world.bind(scout); // To learn a free tcp port; the others know theirs anyway.
      await scout.unbind(endpoint);
      first.connect(endpoint);
      await second.bind(endpoint);
      expect(await exchange(first, second)).toEqual(expected);
    });
  }

  it("ROUTER and ROUTER: each knows the other by its routing id", async () => {
    const [left, right] = [world.router({ routingId: "left" }), world.router({ routingId: "right" })];
    const endpoint = await world.bind(left);
    right.connect(endpoint, { routingId: "left" });
    await right.send(["left", "", "one"]);
    expect(texts(await left.receive(WAIT))).toEqual(["right", "", "one"]);
    await left.send(["right", "two", ""]);
    expect(texts(await right.receive(WAIT))).toEqual(["left", "two", ""]);
  });
});
