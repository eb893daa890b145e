/** The two directions: from standard input to a socket, and from a socket to standard output. */
import type { Readable, Socket, Writable } from "../index.js";
import { Failure, hasCode } from "./failure.js";
import type { Session } from "./session.js";
import { unlessAborted } from "./signals.js";

/** Messages printed at once at most. */
const BATCH = 1_000;
/** With a signal: how long nothing may come until everything that was there counts as printed, in ms. */
const DRAINED = 100;
/** And how much may come until then: what the receive queue holds by default. */
const MAX_DRAINED = 1_000;

/** Sends frames; `true` when they are sent, `false` when they were reported and passed over. */
export type Send = (frames: Buffer[]) => Promise<boolean>;

/** @throws Failure when nobody has room within --timeout, or the command is stopped meanwhile */
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

/** The user's words for a wait that ended without its event. */
export function waitFailed(error: unknown, timedOut: string): unknown {
  if (hasCode(error, "EAGAIN") || hasCode(error, "ETIMEDOUT")) return new Failure(timedOut);
  if (hasCode(error, "ABORT_ERR")) return new Failure("stopped before every message was delivered");
  return error;
}

/** A promise, but no longer than --timeout and not after the command was told to give up. */
export async function waitFor(session: Session<Socket>, promise: Promise<void>, what: string): Promise<void> {
  const { timeout } = session.settings;
  const limit =
    timeout === undefined
      ? session.stop.forced
      : AbortSignal.any([session.stop.forced, AbortSignal.timeout(timeout)]);
  await unlessAborted(promise, limit);
  if (!limit.aborted) return;
  throw new Failure(
    session.stop.forced.aborted
      ? "stopped before every message was delivered"
      : `${what} within ${timeout} ms`,
  );
}

/**
 * Sends the input's messages, each when the one before it was taken.
 *
 * @param first waited for before the first message; never, if there is none
 * @param max messages at most
 * @param enough ends it before the input does
 */
export async function sendAll(
  session: Session<Socket>,
  send: Send,
  first: () => Promise<void>,
  max: number = Number.POSITIVE_INFINITY,
  enough?: AbortSignal,
): Promise<void> {
  let sent = 0;
  let passedOver = 0;
  for await (const frames of session.input.messages()) {
    if (enough?.aborted === true) break;
    if (sent === 0) await first();
    if (!(await send(frames))) passedOver += 1;
    sent += 1;
    if (sent >= max) break;
  }
  if (passedOver > 0) throw new Failure(`${passedOver} of ${sent} messages had no peer to go to`);
}

/** How long receiving goes on. */
export interface Reception {
  /** Ends it, once what has come already is printed. */
  readonly until: AbortSignal;
  /** Messages at most. Default: no limit. */
  readonly max?: number | undefined;
  /** Hears each message before it is printed. */
  readonly heard?: (frames: Buffer[]) => void;
  /** ms since anything happened that counts against --timeout. Default: the wait for the message. */
  readonly idle?: () => number;
}

/**
 * Prints messages as they come.
 *
 * @returns whether `max` came
 * @throws Failure when none came within --timeout
 */
export async function receiveAll(
  session: Session<Socket & Readable<Buffer[]>>,
  reception: Reception,
): Promise<boolean> {
  const { socket, settings, output, stop } = session;
  const { until, max = Number.POSITIVE_INFINITY, heard, idle } = reception;
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
    if (heard !== undefined) messages.forEach(heard);
    await output.print(messages);
    if (draining) drained += messages.length;
    if (drained >= MAX_DRAINED) break;
  }
  return received >= max;
}
