/** What two sockets that fit say to each other: everything, in order, in each direction that their types have. */
import { expect } from "vitest";
import type { PeerSocket } from "./peer.js";

export type TypeName =
  | "PUSH"
  | "PULL"
  | "PUB"
  | "SUB"
  | "XPUB"
  | "XSUB"
  | "REQ"
  | "REP"
  | "DEALER"
  | "ROUTER"
  | "PAIR"
  | "STREAM";

/** All pairs that fit, both ways round. */
export const PAIRS: readonly (readonly [TypeName, TypeName])[] = [
  ["PUSH", "PULL"],
  ["PULL", "PUSH"],
  ["PUB", "SUB"],
  ["SUB", "PUB"],
  ["PUB", "XSUB"],
  ["XSUB", "PUB"],
  ["XPUB", "SUB"],
  ["SUB", "XPUB"],
  ["XPUB", "XSUB"],
  ["XSUB", "XPUB"],
  ["REQ", "REP"],
  ["REP", "REQ"],
  ["REQ", "ROUTER"],
  ["ROUTER", "REQ"],
  ["DEALER", "REP"],
  ["REP", "DEALER"],
  ["DEALER", "DEALER"],
  ["DEALER", "ROUTER"],
  ["ROUTER", "DEALER"],
  ["ROUTER", "ROUTER"],
  ["PAIR", "PAIR"],
  ["STREAM", "STREAM"],
];

/** Messages on their way between two that answer each other. */
const WINDOW = 50;

/** A peer's socket, of which type it is, and what a ROUTER calls it. */
export interface Party {
  readonly socket: PeerSocket;
  readonly type: TypeName;
  readonly routingId: string;
}

/** Opens what `type` needs to be addressed and to notice what cannot be sent. */
export function optionsOfType(type: TypeName, routingId: string) {
  return {
    ...(type === "ROUTER" ? { ROUTER_MANDATORY: 1 } : {}),
    ...(type === "ROUTER" || type === "DEALER" ? { ROUTING_ID: routingId } : {}),
  };
}

const encoded = (...frames: string[]): string[] =>
  frames.map((frame) => Buffer.from(frame).toString("base64"));

/** `count` messages from one to the other. */
export async function tell(from: Party, to: Party, count: number, seed: number): Promise<void> {
  const receiving = to.socket.call("receive", { count, seed });
  await Promise.all([from.socket.call("send", { count, seed }), receiving]);
}

/** One asks, the other echoes. `prefix` goes before each question, `strip` frames stand before it when it has arrived. */
async function ask(
  asker: Party,
  echoer: Party,
  count: number,
  seed: number,
  prefix: string[],
  strip: number,
): Promise<void> {
  const window = asker.type === "REQ" ? 1 : WINDOW;
  const echoing = echoer.socket.call("echo", { count, seed, strip });
  const asking = asker.socket.call("ask", { count, seed, window, prefix: encoded(...prefix) });
  await Promise.all([echoing, asking]);
}

/** Raw bytes both ways; each side learns its peer's name from the notice of its coming. */
async function stream(a: Party, b: Party, count: number): Promise<void> {
  const [aboutB, aboutA] = await Promise.all([a.socket.receive(), b.socket.receive()]);
  expect([aboutB[1], aboutA[1]]).toEqual([Buffer.alloc(0), Buffer.alloc(0)]);
  for (const [from, to, about, seed] of [
    [a, b, aboutB, 5],
    [b, a, aboutA, 6],
  ] as const) {
    const peer = (about[0] as Buffer).toString("base64");
    const receiving = to.socket.call("stream_receive", { count, seed });
    await Promise.all([from.socket.call("stream_send", { count, seed, peer }), receiving]);
  }
}

/** Subscribes to everything, and waits until the publisher knows. @param again it has subscribed before */
export async function subscribed(publisher: Party, subscriber: Party, again = false): Promise<void> {
  if (subscriber.type === "XSUB" && !again) await subscriber.socket.send(Buffer.from([1]));
  if (publisher.type === "XPUB") {
    // A bound subscriber of libzmq asks for its topics in its own thread: it has to be at it.
    const attending = subscriber.socket.peer.call("attend");
    expect(await publisher.socket.receive()).toEqual([Buffer.from([1])]);
    await Promise.all([attending, subscriber.socket.peer.call("pause")]);
    return;
  }
  const syncing = publisher.socket.call("sync");
  expect((await subscriber.socket.receive()).map(String)).toEqual(["sync"]);
  await Promise.all([syncing, publisher.socket.peer.call("pause")]);
}

/** The whole conversation of a pair. */
export async function converse(a: Party, b: Party, count: number, again = false): Promise<void> {
  switch (`${a.type}-${b.type}`) {
    case "PUSH-PULL":
      return tell(a, b, count, 1);
    case "PUB-SUB":
    case "PUB-XSUB":
    case "XPUB-SUB":
    case "XPUB-XSUB":
      await subscribed(a, b, again);
      return tell(a, b, count, 2);
    case "REQ-REP":
      return ask(a, b, count, 3, [], 0);
    case "REQ-ROUTER":
      return ask(a, b, count, 4, [], 2);
    case "DEALER-REP":
      return ask(a, b, count, 5, [""], 0);
    case "DEALER-DEALER":
    case "PAIR-PAIR":
      await ask(a, b, count, 6, [], 0);
      return ask(b, a, count, 7, [], 0);
    case "DEALER-ROUTER":
      await ask(a, b, count, 8, [], 1);
      return ask(b, a, count, 9, [a.routingId], 0);
    case "ROUTER-ROUTER":
      await ask(a, b, count, 10, [b.routingId], 1);
      return ask(b, a, count, 11, [a.routingId], 1);
    case "STREAM-STREAM":
      return stream(a, b, count);
    default:
      return converse(b, a, count, again);
  }
}
