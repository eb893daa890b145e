/** PUSH to PULL, one way, at full speed. */
import { Bodies, MAX_RING_SIZE } from "../../../bodies.js";
import type { Kit } from "../kit.js";
import type { Side } from "../side.js";
import { caseOptions } from "./case-options.js";
import type { Role, Roles } from "./role.js";

type Push = InstanceType<Kit["Push"]>;
type Pull = InstanceType<Kit["Pull"]>;

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

/** Receives the warm-up and the rest; the side's clock runs for the rest. */
export async function receive(pull: Pull, side: Side, kit: Kit) {
  const checker = side.checker();
  const total = side.warmup + side.count;
  let seen = 0;
  if (kit.batch) {
    for await (const batch of pull.batches()) {
      for (const [message] of batch) {
        checker.take(message as Buffer);
        if (++seen === Math.max(1, side.warmup)) side.begin();
      }
      // Not `using`, which the bundler leaves unchanged and Node 20 and 22 do not parse.
      batch[Symbol.dispose]();
      if (seen === total) break;
    }
  } else {
    for await (const [message] of pull) {
      checker.take(message as Buffer);
      // Without a warm-up, the first message starts the clock.
      if (++seen === Math.max(1, side.warmup)) side.begin();
      if (seen === total) break;
    }
  }
  side.end();
  const { checksum, ordered } = checker;
  return { messages: side.count, bytes: side.count * side.size, checksum, ordered };
}

/**
 * Prints `ready` after binding or connecting.
 * @param usual default of the case
 */
async function attach(side: Side, socket: Push | Pull, usual: "bind" | "connect"): Promise<void> {
  const binds = side.option("attach", usual) === "bind";
  if (binds) await socket.bind(side.endpoint);
  else socket.connect(side.endpoint);
  await side.ready(binds ? socket.lastEndpoint : undefined);
}

const consumer: Role = async (side, kit) => {
  const pull = new kit.Pull(caseOptions(side, "in"));
  // A proxy has both endpoints.
  await attach(side, pull, side.scenario === "proxy" ? "connect" : "bind");
  await side.done(await receive(pull, side, kit));
  await pull.close();
};

const producer: Role = async (side, kit) => {
  const push = new kit.Push(caseOptions(side, "out"));
  await attach(side, push, "connect");
  await send(push, side, kit);
  await side.done({ messages: side.count, bytes: side.count * side.size });
  await push.close();
};

const both: Role = async (side, kit) => {
  const pull = new kit.Pull();
  const push = new kit.Push();
  await pull.bind(side.endpoint);
  push.connect(side.endpoint);
  await side.ready();
  const [outcome] = await Promise.all([receive(pull, side, kit), send(push, side, kit)]);
  await side.done(outcome);
  await push.close();
  await pull.close();
};

export const roles: Roles = { consumer, producer, both };
