/** XPUB and SUB: fan-out, and the cost of subscriptions. */
import { setImmediate } from "node:timers/promises";
import { Bodies } from "../../../bodies.js";
import { lateOf, type Stream, sumOfChecksums } from "../../../sequences.js";
import type { Kit } from "../kit.js";
import type { Side } from "../side.js";
import { caseOptions } from "./case-options.js";
import type { Role, Roles } from "./role.js";
import { COPIED, isLarge } from "./throughput.js";

type Subscriber = InstanceType<Kit["Subscriber"]> | InstanceType<Kit["XSubscriber"]>;

/** Prefix of a topic in a subscription message of an XSUB. */
const SUBSCRIBE = Buffer.of(1);

/** Topic i of the scenario of many subscriptions: eight digits. */
export const topicOf = (i: number): Buffer => Buffer.from(String(i).padStart(8, "0"));

/** The package zeromq does not wait with `noDrop`: it rejects with EAGAIN, and the program has to try again. */
export async function sendWhenPossible(
  socket: InstanceType<Kit["XPublisher"]>,
  message: Buffer | Buffer[],
): Promise<void> {
  for (;;) {
    try {
      return await socket.send(message);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      await setImmediate();
    }
  }
}

/** Waits until all have subscribed; full queues make it wait instead of dropping (`noDrop`). */
const publisher: Role = async (side, kit) => {
  const socket = new kit.XPublisher({ ...caseOptions(side, "both"), verbosity: "allSubs", noDrop: true });
  await socket.bind(side.endpoint);
  await side.ready(socket.lastEndpoint);
  const subscriptions = side.number("subscriptions", 0);
  const expected = subscriptions > 0 ? subscriptions : side.number("peers", 1);
  for (let i = 0; i < expected; i++) await socket.receive();
  const topics = Array.from({ length: subscriptions }, (_, i) => topicOf(i));
  const bodies = new Bodies(side.size);
  const copies = kit.batch && isLarge(side);
  side.begin();
  for (let k = 0; k < side.warmup + side.count; k++) {
    const body = copies ? bodies.lend(k) : bodies.make(k);
    const topic = topics[(k * 7919) % Math.max(1, subscriptions)];
    const message = topic === undefined ? body : [topic, body];
    if (copies) {
      if (!socket.trySend(message, COPIED)) await socket.send(message, COPIED);
    } else if (!(kit.batch && socket.trySend(message))) await sendWhenPossible(socket, message);
  }
  await side.done({ messages: side.count, bytes: side.count * side.size });
  await socket.close();
};

/**
 * Several sockets, each of which must get everything in order. The first warm socket starts the clock; warm-up
 * messages that reach others later are reported as `late`.
 *
 * For many subscriptions it uses an XSUB without a send high-water mark: libzmq keeps subscriptions in the send
 * queue, and a SUB, whose queue holds 1,000, silently drops the others.
 */
export async function subscribers(
  side: Side,
  kit: Kit,
  connected: (socket: Subscriber) => Promise<void> = async () => undefined,
): Promise<void> {
  const subscriptions = side.number("subscriptions", 0);
  const sockets = Array.from({ length: side.number("sockets", 1) }, () => {
    if (subscriptions > 0) return new kit.XSubscriber({ ...caseOptions(side, "in"), sendHighWaterMark: 0 });
    const socket = new kit.Subscriber(caseOptions(side, "in"));
    socket.subscribe();
    return socket;
  });
  for (const socket of sockets) {
    socket.connect(side.endpoint);
    if ("subscribe" in socket) continue;
    for (let i = 0; i < subscriptions; i++) await socket.send(Buffer.concat([SUBSCRIBE, topicOf(i)]));
  }
  const streams = sockets.map((): Stream => ({ checker: side.checker(), seen: 0 }));
  await Promise.all(sockets.map(connected));
  await side.ready();
  let late: number | undefined;
  const begin = () => {
    if (late !== undefined) return;
    late = lateOf(streams, side.warmup);
    side.begin();
  };
  await Promise.all(sockets.map((socket, i) => receiveAll(socket, streams[i] as Stream, side, kit, begin)));
  side.end();
  const messages = side.count * sockets.length;
  await side.done({
    messages,
    bytes: messages * side.size,
    checksum: sumOfChecksums(streams.map(({ checker }) => checker.checksum)),
    ordered: streams.every(({ checker }) => checker.ordered),
    extra: { late: late ?? 0 },
  });
  await Promise.all(sockets.map((socket) => socket.close()));
}

async function receiveAll(
  socket: Subscriber,
  stream: Stream,
  side: Side,
  kit: Kit,
  begin: () => void,
): Promise<void> {
  const total = side.warmup + side.count;
  const first = Math.max(1, side.warmup);
  const { checker } = stream;
  const take = (frames: readonly unknown[]): void => {
    checker.take(frames[frames.length - 1] as Buffer);
    if (++stream.seen === first) begin();
  };
  if (kit.batch && isLarge(side)) {
    for await (const batch of socket.batches()) {
      for (const frames of batch) take(frames);
      batch[Symbol.dispose]();
      if (stream.seen === total) break;
    }
    return;
  }
  if (kit.batch) {
    while (stream.seen < total) {
      const { seen } = stream;
      const max = seen < first ? first - seen : total - seen;
      for (const frames of await socket.receiveMany({ max })) take(frames);
    }
    return;
  }
  for await (const frames of socket) {
    take(frames);
    if (stream.seen === total) break;
  }
}

const subscriber: Role = (side, kit) => subscribers(side, kit);

export const roles: Roles = { publisher, subscriber };
