/**
 * List-then-watch, as etcd and Kubernetes offer it.
 *
 *            ┌──── every relistInterval; at once when the watch ends ────┐
 *            ▼                                                           │
 *     list ──► yield ──► watch ──► yield, yield …  ─────────────────────►┘
 *       │ throws            │ fails three times in a row
 *       ▼                   ▼
 *     the source is down: the node calls it again, with a longer wait each time
 *
 * A watch can die silently, which only a new list detects: a timer restarts both. A watch starts where its
 * list ends, so no change is lost.
 */
import { backOff } from "../../core/back-off.js";
import { TransportError } from "../../core/errors.js";
import { Scope, sleep } from "./source.js";

export interface ListAndWatch {
  /** @throws when the list is unavailable */
  list(signal: AbortSignal): Promise<readonly string[]>;
  /** Yields the whole list after each change. Returns when a new list is needed. */
  watch(signal: AbortSignal): AsyncIterable<readonly string[]>;
}

/** @param relistInterval half is random, so that nodes started together do not list together */
export async function* listAndWatch(
  server: ListAndWatch,
  relistInterval: number,
  signal: AbortSignal,
): AsyncGenerator<readonly string[], void, undefined> {
  let failures = 0;
  while (!signal.aborted) {
    yield await server.list(signal);
    const beganAt = performance.now();
    const watching = new Scope(signal, relistInterval * (0.5 + Math.random() / 2));
    let error: unknown;
    let timedOut = false;
    try {
      for await (const addresses of server.watch(watching.signal)) {
        failures = 0;
        yield addresses;
      }
    } catch (thrown) {
      // The next list shows whether the server is there.
      if (!watching.signal.aborted) error = thrown;
    } finally {
      timedOut = watching.signal.aborted;
      watching.end();
    }
    // A shorter watch counts as failed.
    const lived = performance.now() - beganAt >= 1_000;
    // Refusals count as failures, however long the watch lasted.
    const isRefused = error !== undefined && !(error instanceof TransportError);
    if (lived && !isRefused) failures = 0;
    else if (!timedOut) {
      failures += 1;
      if (error !== undefined && failures >= 3) throw error;
      await sleep(backOff(failures - 1, 100, 5_000, Math.random), signal);
    }
  }
}
