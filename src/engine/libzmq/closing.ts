/** Closes a native socket within the linger, and waits for the monitor's report of the end. */
import type { EngineCloseResult } from "../engine.js";
import type { Endpoints } from "./endpoints.js";
import type { Monitor } from "./monitor.js";
import type { NativeSocket } from "./native.js";
import { touchUntilDone } from "./ticker.js";

/**
 * ms beyond the linger; libzmq then continues in the background:
 *
 * - inproc: a peer that does not read or has not arrived, or a REQ whose turn it is to send
 * - a disconnected endpoint with queued messages, which later lingers do not affect
 */
const PATIENCE = 20;
/** ms instead of PATIENCE if an inproc name must become free, or the linger is unlimited. */
const INPROC_LONG_PATIENCE = 500;

/** ms instead of an XSUB's unlimited linger: it would wait for the next publisher. */
export const XSUB_LINGER = 500;

export interface Closing {
  readonly native: NativeSocket;
  /** Missing without endpoints, and in worker threads with inproc endpoints only. */
  readonly monitor: Monitor | undefined;
  readonly endpoints: Endpoints;
  readonly inproc: boolean;
  /** Disconnected endpoints keep the linger of that time. */
  readonly hasDisconnected: boolean;
  readonly answers: boolean;
  /** Accepted messages that libzmq never took. */
  readonly refused: number;
  /** ms; -1 for no limit. */
  readonly linger: number;
  onEnd(ended: () => void): void;
  /** Called when the socket is gone, or no longer waited for. */
  onClosed(): void;
}

/** Settles when the native socket is gone. */
export function closeNative(closing: Closing): Promise<EngineCloseResult> {
  const { native, monitor, endpoints, inproc } = closing;
  // A SUB's subscriptions would wait for the next publisher forever.
  const linger = "sendTimeout" in native ? closing.linger : 0;
  native.linger = linger;
  const started = performance.now();
  const bound = endpoints.bound > 0;
  // Nothing else reports the end.
  if (monitor === undefined) endpoints.releaseNames();
  const released = endpoints.releaseAll();
  const stopTouching = inproc ? touchUntilDone() : undefined;
  return new Promise((resolve) => {
    let gaveUp = false;
    let finished = false;
    const finish = (): void => {
      if (finished) return; // The native socket may end after `giveUp`.
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
