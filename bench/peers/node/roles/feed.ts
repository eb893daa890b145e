/**
 * The two ends of a forwarder of published messages: a publisher, and a subscriber that reports its progress to it
 * (credit.ts). A forwarder may subscribe to everything before its subscriber is there, so the publisher sends probes
 * until one arrives.
 *
 *   PUB feed ── topic | body ──> forwarder ──> SUB reader
 *        <──────────── credit ────────────────────┘
 */
import { setTimeout } from "node:timers/promises";
import { Bodies } from "../../../bodies.js";
import type { Kit } from "../kit.js";
import { Receiving } from "../receiving.js";
import type { Side } from "../side.js";
import { caseOptions } from "./case-options.js";
import { CreditGiver, CreditTaker } from "./credit.js";
import { topicOf } from "./pub-sub.js";
import type { Role } from "./role.js";

/** Topic of messages that only test the path. */
export const PROBE = "probe";
/** ms between probes. */
const PROBE_INTERVAL = 10;
/** After these, a cache has sent its new subscriber all earlier messages, which would otherwise arrive twice. */
const PROBES = 5;

/** Message k has topic k mod n. */
export function topicsOf(side: Side): Buffer[] {
  return Array.from({ length: side.number("topics", 1) }, (_, i) => topicOf(i));
}

export const feed: Role = async (side, kit) => {
  const socket = new kit.Publisher(caseOptions(side, "out"));
  socket.connect(side.endpointOf("forwarder"));
  const credit = await CreditTaker.bind(kit, side.endpoint, 1, side.number("window", 1_000));
  await side.ready(credit.endpoint);
  while (credit.allowed === 0) {
    await socket.send([PROBE, ""]);
    await setTimeout(PROBE_INTERVAL);
  }
  const topics = topicsOf(side);
  const bodies = new Bodies(side.size);
  for (let k = 0; k < side.warmup + side.count; k++) {
    if (k === side.warmup) side.begin();
    while (k >= credit.allowed) await credit.more();
    // New memory, since more than 4,096 messages may be in flight.
    const message = [topics[k % topics.length] as Buffer, bodies.makeOwn(k)];
    if (!(kit.shoal && socket.trySend(message))) await socket.send(message);
  }
  await side.done({ messages: side.count, bytes: side.count * side.size });
  await credit.close();
  await socket.close();
};

/** Checks all messages except probes, in order. */
export const reader: Role = async (side, kit) => {
  const socket = new kit.Subscriber(caseOptions(side, "in"));
  socket.subscribe();
  socket.connect(side.endpoint);
  const credit = new CreditGiver(kit, side.endpointOf("feed"), 0, side.number("window", 1_000));
  const { receiving, stream } = Receiving.one(side);
  await side.ready();
  let probes = 0;
  for (let isOver = false; !isOver; ) {
    for (const [topic, body] of await some(kit, socket, stream.room)) {
      if (String(topic) !== PROBE) isOver = stream.take(body as Buffer);
      else if (++probes === PROBES) credit.hello();
    }
    credit.has(stream.seen);
  }
  await receiving.done();
  await credit.close();
  await socket.close();
};

/** Up to 512 messages at once, or one where the library has no such call. */
export async function some(
  kit: Kit,
  socket: InstanceType<Kit["Subscriber"]>,
  max: number,
): Promise<Buffer[][]> {
  const messages = kit.shoal
    ? await socket.receiveMany({ max: Math.min(512, max) })
    : [await socket.receive()];
  return messages as unknown as Buffer[][];
}
