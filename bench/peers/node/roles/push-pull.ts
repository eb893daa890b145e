/** PUSH and PULL: one way at full speed, many producers, workers between, security, a slow consumer. */
import { Bodies, MAX_RING_SIZE } from "../../../bodies.js";
import { OnceChecker, StrideChecker } from "../../../sequences.js";
import type { Kit } from "../kit.js";
import { Receiving, type Stream } from "../receiving.js";
import type { Side } from "../side.js";
import { caseOptions, growthSince } from "./case-options.js";
import type { Role, Roles } from "./role.js";

type Push = InstanceType<Kit["Push"]>;
type Pull = InstanceType<Kit["Pull"]>;
type Receiver = Pull | InstanceType<Kit["Subscriber"]> | InstanceType<Kit["XSubscriber"]>;

/** The socket copies the message within the call. */
export const COPIED = Object.freeze({ copy: true });
/**
 * Within a thread the receiver gets the same memory. Frames of the ring are reused only after the receiver has
 * processed them: at the marks 2,000 are in flight, and 1,000 in its batch.
 */
const TRANSFERRED = Object.freeze({ transfer: true });

/** Whether a batch sends from reused memory, since C also copies each body into a new message. */
export const isLarge = ({ size }: Pick<Side, "size">): boolean => size > MAX_RING_SIZE;

export async function send(
  push: Push,
  side: Pick<Side, "size" | "count" | "warmup" | "begin"> & Partial<Pick<Side, "endpoint">>,
  kit: Kit,
): Promise<void> {
  const bodies = new Bodies(side.size);
  const total = side.warmup + side.count;
  if (kit.batch && side.endpoint?.startsWith("inproc:")) {
    for (let k = 0; k < total; k++) {
      if (k === side.warmup) side.begin();
      const message = bodies.make(k);
      if (!push.trySend(message, TRANSFERRED)) await push.send(message, TRANSFERRED);
    }
    return;
  }
  if (kit.batch && isLarge(side)) {
    for (let k = 0; k < total; k++) {
      if (k === side.warmup) side.begin();
      const message = bodies.lend(k);
      if (!push.trySend(message, COPIED)) await push.send(message, COPIED);
    }
    return;
  }
  for (let k = 0; k < total; k++) {
    if (k === side.warmup) side.begin();
    const message = bodies.make(k);
    // Refused: `send` waits for room, and the loop continues without awaiting each.
    if (kit.batch && push.trySend(message)) continue;
    await push.send(message);
  }
}

/** Receives a whole stream; the body is a message's last frame. */
export async function receive(socket: Receiver, stream: Stream, kit: Kit): Promise<void> {
  const take = (frames: readonly unknown[]) => stream.take(frames[frames.length - 1] as Buffer);
  if (!kit.batch) {
    for await (const frames of socket) if (take(frames)) return;
    return;
  }
  for await (const batch of socket.batches()) {
    let isOver = false;
    for (const frames of batch) isOver = take(frames);
    // Not `using`, which the bundler leaves unchanged and Node 20 and 22 do not parse.
    batch[Symbol.dispose]();
    if (isOver) return;
  }
}

/** Receives `rate` messages a second after the warm-up; timers have a resolution of 1 ms. */
async function receiveSlowly(pull: Pull, stream: Stream, side: Side, rate: number): Promise<void> {
  let from = performance.now();
  for await (const [message] of pull) {
    if (stream.take(message as Buffer)) return;
    const measured = stream.seen - side.warmup;
    if (measured === 0) from = performance.now();
    const ahead = from + (measured / rate) * 1e3 - performance.now();
    if (measured > 0 && ahead >= 1) await new Promise((resolve) => setTimeout(resolve, ahead));
  }
}

function checkerOf(side: Side) {
  const peers = side.number("peers", 1);
  if (side.role === "sink") return new OnceChecker(side.size, side.warmup, side.count);
  return peers === 1 ? side.checker() : new StrideChecker(side.size, side.warmup, side.count, peers);
}

/**
 * Binds or connects, and prints `ready`.
 * @param usual default of the case
 */
async function attach(
  side: Side,
  sockets: readonly (Push | Pull)[],
  usual: "bind" | "connect",
): Promise<void> {
  const binds = side.option("attach", usual) === "bind";
  for (const socket of sockets) {
    if (binds) await socket.bind(side.endpoint);
    else socket.connect(side.endpoint);
  }
  await side.ready(binds ? sockets[0]?.lastEndpoint : undefined);
}

const consumer: Role = async (side, kit) => {
  const pull = new kit.Pull(caseOptions(side, "in"));
  // A proxy has both endpoints.
  await attach(side, [pull], side.scenario === "proxy" ? "connect" : "bind");
  const { receiving, stream } = Receiving.one(side, checkerOf(side));
  const rate = side.number("rate", 0);
  await (rate > 0 ? receiveSlowly(pull, stream, side, rate) : receive(pull, stream, kit));
  await receiving.done();
  await pull.close();
};

/** With several sockets, message k is sent by sender k mod peers. */
const producer: Role = async (side, kit) => {
  const sockets = side.number("sockets", 1);
  const peers = side.number("peers", 1);
  const pushes = Array.from({ length: sockets }, () => new kit.Push(caseOptions(side, "out")));
  await attach(side, pushes, side.role === "ventilator" ? "bind" : "connect");
  const rss = process.memoryUsage.rss();
  let sent = 0;
  if (peers === 1) {
    await send(pushes[0] as Push, side, kit);
    sent = side.count;
  } else {
    const bodies = new Bodies(side.size);
    // A separate loop per socket, so that none waits for another's queue.
    const work = async (push: Push, sender: number) => {
      for (let k = sender; k < side.warmup + side.count; k += peers) {
        const message = bodies.makeOwn(k);
        if (!(kit.batch && push.trySend(message))) await push.send(message);
        if (k >= side.warmup && sent++ === 0) side.begin();
      }
    };
    await Promise.all(pushes.map((push, i) => work(push, side.index * sockets + i)));
  }
  await side.done({ messages: sent, bytes: sent * side.size, extra: growthSince(rss) });
  await Promise.all(pushes.map((push) => push.close()));
};

/** Forwards messages until it is stopped. */
const worker: Role = async (side, kit) => {
  const pull = new kit.Pull(caseOptions(side, "in"));
  const push = new kit.Push(caseOptions(side, "out"));
  pull.connect(side.endpoint);
  push.connect(side.endpointOf("sink"));
  let passed = 0;
  const working = (async () => {
    if (kit.batch) {
      for await (const batch of pull.batches()) {
        const messages = batch.keep();
        for (const message of messages) if (!push.trySend(message)) await push.send(message);
        passed += messages.length;
      }
      return;
    }
    for await (const [message] of pull) {
      await push.send(message as Buffer);
      passed++;
    }
  })();
  await side.ready();
  await side.stopped;
  await side.done({ messages: passed, bytes: passed * side.size });
  await pull.close();
  await working;
  await push.close();
};

const both: Role = async (side, kit) => {
  const pull = new kit.Pull();
  const push = new kit.Push();
  await pull.bind(side.endpoint);
  push.connect(side.endpoint);
  await side.ready();
  const { receiving, stream } = Receiving.one(side);
  await Promise.all([receive(pull, stream, kit), send(push, side, kit)]);
  await receiving.done();
  await push.close();
  await pull.close();
};

export const roles: Roles = { consumer, producer, sink: consumer, ventilator: producer, worker, both };
