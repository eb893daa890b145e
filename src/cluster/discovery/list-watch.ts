/**
 * What is known of a list on a server by listing it once and watching its changes, as etcd and Kubernetes offer it.
 *
 *            ┌──── every relistInterval; at once when the watch ends ────┐
 *            ▼                                                           │
 *     list ──► yield ──► watch ──► yield, yield …  ─────────────────────►┘
 *       │ throws            │ fails three times in a row
 *       ▼                   ▼
 *     the source is down: the node calls it again, with a longer wait each time
 *
 * A watch can die without a word: the server is stopped, a proxy forgets the connection, a load balancer drops it. Nothing shows that
 * but a second look, so the list is read again by a timer, and with it the watch begins again. A watch begins where its list ends,
 * so that no change is lost between the two.
 */
import { backOff } from "../../core/back-off.js";
import { TransportError } from "../../core/errors.js";
import { Scope, sleep } from "./source.js";

/** ms for which a watch has to live to count as one that works. */
const WORKING_WATCH = 1_000;

/** Watches that fail one after another before the source is down. */
const MAX_FAILED_WATCHES = 3;

/** ms before the list is read again after a watch that failed at once: the first time, and at most. */
const FIRST_WAIT = 100;
const LONGEST_WAIT = 5_000;

export interface ListAndWatch {
  /** The whole list. @throws when it cannot be had */
  list(signal: AbortSignal): Promise<readonly string[]>;
  /** The whole list after each change that follows the last `list`. Returns where it has to be listed again. */
  watch(signal: AbortSignal): AsyncIterable<readonly string[]>;
}

/** @param relistInterval ms; half of it by chance, so that nodes that started together do not list together */
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
      // The list, which is read at once, shows whether the server is there.
      if (!watching.signal.aborted) error = thrown;
    } finally {
      timedOut = watching.signal.aborted;
      watching.end();
    }
    const lived = performance.now() - beganAt >= WORKING_WATCH;
    // What the server sent was wrong, or it refuses: that is no watch that works, however long it took.
    const isRefused = error !== undefined && !(error instanceof TransportError);
    if (lived && !isRefused) failures = 0;
    else if (!timedOut) {
      failures += 1;
      if (error !== undefined && failures >= MAX_FAILED_WATCHES) throw error;
      await sleep(backOff(failures - 1, FIRST_WAIT, LONGEST_WAIT, Math.random), signal);
    }
  }
}
