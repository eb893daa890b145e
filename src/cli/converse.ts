/**
 * Input and output at once, neither waiting for the other (dealer, router, pair, xpub, xsub).
 *
 *   --count N      ends it when N came; input that is there already still goes out
 *   input ends     all of it leaves, answers that come soon are printed, then it ends
 *   no input       (/dev/null, or a command whose input is an aside): until --count or a signal
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Readable, Socket, Writable } from "../index.js";
import { Input } from "./input.js";
import type { Ending, Session } from "./session.js";
import { GRACE } from "./signals.js";
import { receiveAll, type Send, sendAll, waitFor } from "./transfer.js";

/** After the input: how long nothing may come until there is nothing to wait for any more, in ms. */
const QUIET_AFTER_INPUT = 500;
/** After --count: how long the input may be silent until what was there has gone out, in ms. */
const QUIET_AFTER_COUNT = 100;

/** What differs between the commands that talk both ways. */
export interface Conversation {
  readonly send: Send;
  /** Waited for before the first message is sent. */
  readonly first?: () => Promise<void>;
  readonly heard?: (frames: Buffer[]) => void;
  /** Whether the end of the input is the end. Default true. */
  readonly endsWithInput?: boolean;
}

export async function converse(
  session: Session<Socket & Readable<Buffer[]> & Writable<Buffer[]>>,
  conversation: Conversation,
): Promise<Ending> {
  const { settings, stop, input, peers } = session;
  const { send, heard, first = async () => undefined, endsWithInput = true } = conversation;
  const noMoreOut = new AbortController();
  const noMoreIn = new AbortController();
  let lastSent = performance.now();
  let lastHeard = lastSent;

  const receiving = receiveAll(session, {
    until: AbortSignal.any([stop.requested, noMoreIn.signal]),
    max: settings.count,
    heard: (frames) => {
      lastHeard = performance.now();
      heard?.(frames);
    },
    // While messages go out, silence from the other side is no fault.
    idle: () => performance.now() - Math.max(lastSent, lastHeard),
  });
  const sendAndNote: Send = async (frames) => {
    const sent = await send(frames);
    lastSent = performance.now();
    return sent;
  };
  const sending = sendAll(session, sendAndNote, first, undefined, noMoreOut.signal);

  const over = await Promise.race([receiving.then(() => "receiving"), sending.then(() => "sending")]);
  if (over === "receiving") {
    const idle = quiet(() => Math.max(lastSent, lastHeard, input.lastActive), QUIET_AFTER_COUNT);
    await Promise.race([sending, idle, sleep(GRACE)]); // An input without end ends here.
    noMoreOut.abort();
    return "enough";
  }
  if (settings.count !== undefined || !endsWithInput || Input.isAbsent()) {
    await receiving;
    return settings.count === undefined ? "complete" : "enough";
  }
  if (!stop.requested.aborted && input.taken > 0) {
    await Promise.race([receiving, waitFor(session, peers.seen, "no peer came")]);
    await Promise.race([receiving, quiet(() => Math.max(lastSent, lastHeard), QUIET_AFTER_INPUT)]);
  }
  noMoreIn.abort();
  await receiving;
  return "complete";
}

/** Settles when `last`, a time, lies `ms` back. */
async function quiet(last: () => number, ms: number): Promise<void> {
  for (;;) {
    const left = last() + ms - performance.now();
    if (left <= 0) return;
    await sleep(Math.ceil(left));
  }
}
