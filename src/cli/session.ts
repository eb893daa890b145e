/**
 * One run of a socket command: from standard input to its socket, from the socket to standard output, or both.
 *
 *   options -> socket -> endpoints -> work -> linger -> exit code
 *                                      |  a signal, or a lost reader of standard output,
 *                                      +-> ends the work early (terminal.ts)
 */
import { setImmediate, setTimeout as sleep } from "node:timers/promises";
import { waitFor as wait } from "../core/waiter.js";
import { type CloseResult, type Readable, type Socket, TimeoutError, type Writable } from "../index.js";
import { openEndpoints, type Peers, watchPeers, withEndpoints } from "./endpoints.js";
import { asUsage, Failure, hasCode, InputError, waitFailed } from "./failure.js";
import { formatFor } from "./format.js";
import { Input } from "./input.js";
import { Log } from "./log.js";
import { checkSettings, type Given, type Settings } from "./options.js";
import { type Output, printing } from "./output.js";
import { type SecurityOptions, securityOptions } from "./security.js";
import type { AnswerSettings } from "./service.js";
import { GRACE, type Stop, unlessAborted } from "./terminal.js";

const BATCH = 1_000;
/** ms of silence after a signal until everything counts as printed. */
const DRAINED = 100;
/** Messages printed after a signal: the default receive queue. */
const MAX_DRAINED = 1_000;
/** ms of silence until no answer is expected after the input's end. */
const QUIET_AFTER_INPUT = 500;
/** ms of silence of the input until everything counts as sent after --count. */
const QUIET_AFTER_COUNT = 100;

export interface SocketSettings extends Settings, AnswerSettings {
  /** Topic prefixes; `false` with --no-subscribe. */
  readonly subscribe?: readonly string[] | boolean;
  readonly routingId?: string;
}

export interface Session<S extends Socket> {
  readonly socket: S;
  readonly settings: SocketSettings;
  readonly log: Log;
  readonly stop: Stop;
  readonly peers: Peers;
  readonly input: Input;
  readonly output: Output;
}

/**
 * How the work ended, which decides the linger. `complete` waits for everything sent, `enough` (--count) at most
 * GRACE ms, `received` not at all: a SUB would wait to repeat its subscriptions to a lost publisher.
 */
export type Ending = "complete" | "enough" | "received";

export interface Work<S extends Socket> {
  readonly name: string;
  /** The first frame is a routing id. */
  readonly routed: boolean;
  open(security: SecurityOptions, settings: SocketSettings): S;
  run(session: Session<S>): Promise<Ending>;
}

export async function runSocket<S extends Socket>(
  given: Given<SocketSettings>,
  work: Work<S>,
): Promise<void> {
  const settings = checkSettings<SocketSettings>(given);
  const log = new Log(work.name);
  const security = await securityOptions(settings, settings);
  const format = formatFor({ ...settings, routed: work.routed });
  await withEndpoints(work.name, settings.connect, settings, log, async (connect) => {
    const socket = await asUsage(() => work.open(security, settings));
    try {
      await printing(format, async (output, stop) => {
        const input = new Input(format, settings.json === true, stop.requested);
        const peers = watchPeers(socket, settings, log);
        await openEndpoints(socket, settings, connect, log);
        const session = { socket, settings, log, stop, peers, input, output };
        let ending: Ending = "complete";
        let fault: unknown;
        try {
          ending = await Promise.race([work.run(session), peers.refused]);
        } catch (error) {
          if (!(error instanceof InputError)) throw error;
          fault = error; // The input before it is delivered first.
        }
        await deliver(session, ending);
        if (fault !== undefined) throw fault;
      });
    } finally {
      void socket.close({ linger: 0 });
    }
  });
}

/** Closes the socket after accepted messages have left. */
async function deliver(session: Session<Socket>, ending: Ending): Promise<void> {
  const { socket, settings, stop, peers } = session;
  if (ending === "received") {
    await socket.close({ linger: 0 });
    return;
  }
  if (stop.forced.aborted) {
    await setImmediate(); // What was accepted in this turn is written in the next.
    if (isDelivered(await socket.close({ linger: 0 }))) return;
    throw new Failure("stopped before every message was delivered");
  }
  const hurried = ending === "enough" || stop.requested.aborted;
  const limit = settings.timeout ?? -1;
  const linger = hurried ? (limit < 0 ? GRACE : Math.min(limit, GRACE)) : limit;
  const closing = unlessAborted(socket.close({ linger }), stop.forced);
  const result = await Promise.race([closing, peers.refused]);
  if (isDelivered(result)) return;
  throw new Failure(
    result === undefined
      ? "stopped before every message was delivered"
      : "not every message was delivered: no peer accepted them in time",
  );
}

function isDelivered(result: CloseResult | undefined): boolean {
  return result !== undefined && result.unknown === 0 && result.discarded === 0;
}

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
