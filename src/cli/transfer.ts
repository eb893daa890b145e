/** From standard input to a socket, from a socket to standard output, and both. */

import { setTimeout as sleep } from "node:timers/promises";
import { waitFor as wait } from "../core/waiter.js";
import { type Readable, type Socket, TimeoutError, type Writable } from "../index.js";
import { Failure, hasCode, waitFailed } from "./failure.js";
import type { Ending, Session } from "./session.js";
import { GRACE } from "./terminal.js";

const BATCH = 1_000;
/** ms of silence after a signal until everything counts as printed. */
const DRAINED = 100;
/** Messages printed after a signal: the default receive queue. */
const MAX_DRAINED = 1_000;

/** `false`: the message was reported and skipped. */
export type Send = (frames: Buffer[]) => Promise<boolean>;

/** @throws Failure without room within --timeout, or after a forced stop */
export function sendTo(session: Session<Socket & Writable<Buffer[]>>): Send {
  const { socket, settings, stop } = session;
  const wait = { timeout: settings.timeout ?? -1, signal: stop.forced };
  return async (frames) => {
    try {
      await socket.send(frames, wait);
      return true;
    } catch (error) {
      throw waitFailed(error, `no peer had room for a message within ${wait.timeout} ms`);
    }
  };
}

export async function waitFor(session: Session<Socket>, promise: Promise<void>, what: string): Promise<void> {
  const { timeout = -1 } = session.settings;
  const late = new TimeoutError("ETIMEDOUT", what);
  try {
    await wait(promise, { timeout, signal: session.stop.forced }, () => late);
  } catch (error) {
    throw waitFailed(error, `${what} within ${timeout} ms`);
  }
}

/** @param first awaited before the first message @param enough ends it early */
export async function sendAll(
  session: Session<Socket>,
  send: Send,
  first: () => Promise<void>,
  max: number = Number.POSITIVE_INFINITY,
  enough?: AbortSignal,
): Promise<void> {
  let sent = 0;
  let skipped = 0;
  for await (const frames of session.input.messages()) {
    if (enough?.aborted === true) break;
    if (sent === 0) await first();
    if (!(await send(frames))) skipped += 1;
    sent += 1;
    if (sent >= max) break;
  }
  if (skipped > 0) throw new Failure(`${skipped} of ${sent} messages had no peer`);
}

export interface Reception {
  /** Ends it when everything received is printed. */
  readonly until: AbortSignal;
  readonly max?: number | undefined;
  /** Before printing. */
  readonly onMessage?: (frames: Buffer[]) => void;
  /** ms since the last activity, for --timeout. */
  readonly idle?: () => number;
}

/** @returns whether `max` messages arrived @throws Failure without a message within --timeout */
export async function receiveAll(
  session: Pick<Session<Socket>, "output" | "stop"> & {
    readonly socket: Pick<Readable<Buffer[]>, "receiveMany">;
    readonly settings: { readonly timeout?: number };
  },
  reception: Reception,
): Promise<boolean> {
  const { socket, settings, output, stop } = session;
  const { until, max = Number.POSITIVE_INFINITY, onMessage, idle } = reception;
  const limit = settings.timeout ?? -1;
  let received = 0;
  let timeout = limit;
  let drained = 0;
  while (received < max && !output.gone && !stop.forced.aborted) {
    const draining = until.aborted;
    const wait = draining ? { timeout: DRAINED, signal: stop.forced } : { timeout, signal: until };
    let messages: Buffer[][];
    try {
      messages = await socket.receiveMany({ ...wait, max: Math.min(BATCH, max - received) });
    } catch (error) {
      if (hasCode(error, "ABORT_ERR") || (draining && hasCode(error, "EAGAIN"))) {
        if (draining) break;
        continue;
      }
      if (!hasCode(error, "EAGAIN")) throw error;
      timeout = limit - Math.floor(idle?.() ?? limit);
      if (timeout > 0) continue;
      throw new Failure(`no message came within ${limit} ms`);
    }
    timeout = limit;
    received += messages.length;
    if (onMessage !== undefined) messages.forEach(onMessage);
    await output.print(messages);
    if (draining) drained += messages.length;
    if (drained >= MAX_DRAINED) break;
  }
  return received >= max;
}

/** ms of silence until no answer is expected after the input's end. */
const QUIET_AFTER_INPUT = 500;
/** ms of silence of the input until everything counts as sent after --count. */
const QUIET_AFTER_COUNT = 100;

export interface Conversation {
  readonly send: Send;
  /** Before the first message is sent. */
  readonly first?: () => Promise<void>;
  readonly onMessage?: (frames: Buffer[]) => void;
  /** Default true. */
  readonly endsWithInput?: boolean;
}

/**
 * Sends input and prints output at once (dealer, router, pair, xpub, xsub).
 *
 *   --count N      ends after N messages; pending input is still sent
 *   input ends     all of it is sent, and answers that come soon are printed
 *   no input       until --count or a signal
 */
export async function converse(
  session: Session<Socket & Readable<Buffer[]> & Writable<Buffer[]>>,
  conversation: Conversation,
): Promise<Ending> {
  const { settings, stop, input, peers } = session;
  const { send, onMessage, first = async () => undefined, endsWithInput = true } = conversation;
  const noMoreOut = new AbortController();
  const noMoreIn = new AbortController();
  let lastSent = performance.now();
  let lastReceived = lastSent;

  const receiving = receiveAll(session, {
    until: AbortSignal.any([stop.requested, noMoreIn.signal]),
    max: settings.count,
    onMessage: (frames) => {
      lastReceived = performance.now();
      onMessage?.(frames);
    },
    // While messages go out, a peer may be silent.
    idle: () => performance.now() - Math.max(lastSent, lastReceived),
  });
  const sendAndNote: Send = async (frames) => {
    const sent = await send(frames);
    lastSent = performance.now();
    return sent;
  };
  const sending = sendAll(session, sendAndNote, first, undefined, noMoreOut.signal);

  const over = await Promise.race([receiving.then(() => "receiving"), sending.then(() => "sending")]);
  if (over === "receiving") {
    const idle = quiet(() => Math.max(lastSent, lastReceived, input.lastActive), QUIET_AFTER_COUNT);
    await Promise.race([sending, idle, sleep(GRACE)]); // An endless input ends here.
    noMoreOut.abort();
    return "enough";
  }
  if (settings.count !== undefined || !endsWithInput || input.isAbsent) {
    await receiving;
    return settings.count === undefined ? "complete" : "enough";
  }
  if (!stop.requested.aborted && input.taken > 0) {
    await Promise.race([receiving, waitFor(session, peers.seen, "no peer connected")]);
    await Promise.race([receiving, quiet(() => Math.max(lastSent, lastReceived), QUIET_AFTER_INPUT)]);
  }
  noMoreIn.abort();
  await receiving;
  return "complete";
}

async function quiet(last: () => number, ms: number): Promise<void> {
  for (;;) {
    const left = last() + ms - performance.now();
    if (left <= 0) return;
    await sleep(Math.ceil(left));
  }
}
