/** XPUB and SUB: fan-out, and the cost of subscriptions. */
import { setImmediate } from "node:timers/promises";
import { Bodies } from "../../../bodies.js";
import type { Kit } from "../kit.js";
import { Receiving, type Stream } from "../receiving.js";
import type { Side } from "../side.js";
import { caseOptions } from "./case-options.js";
import { COPIED, isLarge, receive } from "./push-pull.js";
import type { Role, Roles } from "./role.js";

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
  for (let k = 0; k < side.warmup + side.count; k++) {
    if (k === side.warmup) side.begin();
    const body = copies ? bodies.lend(k) : bodies.make(k);
    const topic = topics[(k * 7919) % Math.max(1, subscriptions)];
    const message = topic === undefined ? body : [topic, body];
    if (copies) {
      if (!socket.trySend(message, COPIED)) await socket.send(message, COPIED);
    } else if (!kit.shoal) await sendWhenPossible(socket, message);
    else if (!(kit.batch && socket.trySend(message))) await socket.send(message);
  }
  await side.done({ messages: side.count, bytes: side.count * side.size });
  await socket.close();
};

/**
 * Several sockets, each of which must get everything in order.
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
  await Promise.all(sockets.map(connected));
  await side.ready();
  const receiving = new Receiving(
    side,
    sockets.map(() => side.checker()),
  );
  await Promise.all(sockets.map((socket, i) => receive(socket, receiving.streams[i] as Stream, kit)));
  await receiving.done();
  await Promise.all(sockets.map((socket) => socket.close()));
}

const subscriber: Role = (side, kit) => subscribers(side, kit);

export const roles: Roles = { publisher, subscriber };
