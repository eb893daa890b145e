import { expect, it } from "vitest";
import type { MessageLike, Socket } from "../../src/index.js";
import { describeTransports } from "./support/engines.js";
import { texts, untilReceived } from "./support/wait.js";
import type { World } from "./support/world.js";

type Talker = Socket & {
  send?(message: MessageLike | MessageLike[]): Promise<void>;
  receive?(options?: { timeout?: number }): Promise<Buffer[]>;
};
/** Sends from a to b, and back where the pattern allows; gives what came out. */
type Exchange = (a: Talker, b: Talker) => Promise<string[]>;
type Named =
  | "pair"
  | "push"
  | "pull"
  | "publisher"
  | "xPublisher"
  | "request"
  | "reply"
  | "dealer"
  | "router";
type Side = Named | ((world: World) => Talker);

const WAIT = { timeout: 8_000 };
const receive = (socket: Talker): Promise<Buffer[]> => (socket.receive as Required<Talker>["receive"])(WAIT);
const send = (socket: Talker, ...frames: MessageLike[]): Promise<void> =>
  (socket.send as Required<Talker>["send"])(frames);
const textOf = (message: readonly Buffer[]): string => message.join("|");

const pushed: Exchange = async (a, b) => {
  await send(a, "one", "", "two");
  return [textOf(await receive(b))];
};

/** Both directions, frames as they are. */
const symmetric: Exchange = async (a, b) => {
  const there = await pushed(a, b);
  await send(b, "three", "four");
  return [...there, textOf(await receive(a))];
};

/** b receives an envelope first and answers into it. */
const routed: Exchange = async (a, b) => {
  await send(a, "one", "", "two");
  const [id, ...there] = (await receive(b)) as [Buffer, ...Buffer[]];
  await send(b, id, ...there.slice(0, there.findIndex((frame) => frame.length === 0) + 1), "three", "four");
  return [textOf(there), textOf(await receive(a))];
};

const hopped: Exchange = async (a, b) => {
  await send(a, "hop", "", "one", "", "two");
  const there = textOf(await receive(b));
  await send(b, "three", "four");
  return [there, textOf(await receive(a))];
};

const published: Exchange = async (a, b) => [
  textOf(await untilReceived(() => send(a, "topic", "", "body"), receive(b))),
];

const subscribed: Side = (world) => {
  const socket = world.subscriber();
  socket.subscribe("top");
  return socket;
};
const xSubscribed: Side = (world) => {
  const socket = world.xSubscriber();
  void socket.send("\u0001top");
  return socket;
};

const PAIRS: [name: string, a: Side, b: Side, exchange: Exchange, expected: string[]][] = [
  ["PUSH to PULL", "push", "pull", pushed, ["one||two"]],
  ["PUB to SUB", "publisher", subscribed, published, ["topic||body"]],
  ["PUB to XSUB", "publisher", xSubscribed, published, ["topic||body"]],
  ["XPUB to SUB", "xPublisher", subscribed, published, ["topic||body"]],
  ["XPUB to XSUB", "xPublisher", xSubscribed, published, ["topic||body"]],
  ["REQ and REP", "request", "reply", symmetric, ["one||two", "three|four"]],
  ["REQ and ROUTER", "request", "router", routed, ["|one||two", "three|four"]],
  ["DEALER and REP", "dealer", "reply", hopped, ["one||two", "hop||three|four"]],
  ["DEALER and ROUTER", "dealer", "router", routed, ["one||two", "one||three|four"]],
  ["DEALER and DEALER", "dealer", "dealer", symmetric, ["one||two", "three|four"]],
  ["PAIR and PAIR", "pair", "pair", symmetric, ["one||two", "three|four"]],
];

describeTransports("round trips", (world) => {
  const make = (side: Side): Talker => (typeof side === "string" ? world[side]() : side(world)) as Talker;

  for (const [name, a, b, exchange, expected] of PAIRS) {
    it(`${name}: the first binds`, async () => {
      const [first, second] = await world.linked(make(a), make(b));
      expect(await exchange(first, second)).toEqual(expected);
    });

    it(`${name}: the second binds`, async () => {
      const [second, first] = await world.linked(make(b), make(a));
      expect(await exchange(first, second)).toEqual(expected);
    });

    it(`${name}: connected before the other side binds`, async () => {
      const [first, second, scout] = [make(a), make(b), make(b)];
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
