/**
 * The end of a native socket: its endpoints become free, its messages leave
 * within the linger, and its monitor says when it is gone.
 */
import type { EngineCloseResult } from "../engine.js";
import type { Endpoints } from "./endpoints.js";
import type { Monitor } from "./monitor.js";
import type { NativeSocket } from "./native.js";
import { touchUntilDone } from "./ticker.js";

/**
 * How long a close waits, beyond its linger, for what may never end, in ms. libzmq goes on without us.
 *
 * - inproc: a peer that does not read, one that is not there yet, or a REQ whose turn it is to send
 * - an endpoint that was disconnected with messages for it: no later linger reaches those
 */
const PATIENCE = 20;
/** The same where an inproc name has to become free, or the linger has no limit. */
const INPROC_LONG_PATIENCE = 500;

/**
 * The linger of an XSUB whose own has no limit, in ms. What it sends is mostly subscriptions; those for a publisher
 * that has just gone would be kept for the next one, and lingered with forever.
 */
export const XSUB_LINGER = 500;

/** A socket to close, and what is known of it. */
export interface Closing {
  readonly native: NativeSocket;
  /** Absent for a socket that never had an endpoint, and in a worker thread for one with inproc endpoints alone. */
  readonly monitor: Monitor | undefined;
  readonly endpoints: Endpoints;
  readonly inproc: boolean;
  /** It has disconnected endpoints: those linger by themselves, as long as the socket's linger was at that time. */
  readonly hasDisconnected: boolean;
  /** Its peers may be REQ. */
  readonly answers: boolean;
  /** Accepted messages that libzmq never took. */
  readonly refused: number;
  /** ms; -1: without limit. */
  readonly linger: number;
  /** Takes what is to be called when the monitor says that the socket is gone. */
  onEnd(ended: () => void): void;
  /** The socket is gone, or no longer waited for. */
  onClosed(): void;
}

/** Closes the native socket. Settles when it is gone. */
export function closeNative(closing: Closing): Promise<EngineCloseResult> {
  const { native, monitor, endpoints, inproc } = closing;
  // SUB and PULL have nothing to deliver. A SUB whose publisher has just gone would keep its subscriptions
  // for the next one, and linger with them forever.
  const linger = "sendTimeout" in native ? closing.linger : 0;
  native.linger = linger;
  const started = performance.now();
  const bound = endpoints.bound > 0;
  // Nothing reports when it is gone. What it sent is in its peers' queues, and stays there.
  if (monitor === undefined) endpoints.releaseNames();
  const released = endpoints.releaseAll();
  const stopTouching = inproc ? touchUntilDone() : undefined;
  return new Promise((resolve) => {
    let gaveUp = false;
    let finished = false;
    const finish = (): void => {
      if (finished) return; // The native socket's end may come after we have given up.
      finished = true;
      clearTimeout(limit);
      stopTouching?.();
      released();
      closing.onClosed();
      const inTime =
        closing.linger < 0 ? !gaveUp : closing.linger > 0 && performance.now() - started < closing.linger;
      resolve({ drained: closing.refused === 0 && inTime, discarded: undefined });
    };
    const giveUp = (): void => {
      gaveUp = true;
      finish();
    };
    const patience = inproc && (bound || closing.linger < 0) ? INPROC_LONG_PATIENCE : PATIENCE;
    const bounded = closing.linger >= 0 ? inproc || closing.hasDisconnected : inproc && closing.answers;
    const limit = bounded ? setTimeout(giveUp, Math.max(0, closing.linger) + patience) : undefined;
    closing.onEnd(finish);
    const willTell = monitor?.finish() ?? false;
    native.close();
    if (monitor === undefined) finish();
    else if (!willTell) giveUp();
  });
}
