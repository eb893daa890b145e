/**
 * What must be closed in order when nobody is left to do it: the native socket
 * first, its observer after it. An observer that is closed before its socket
 * stops libzmq's threads for the whole process (monitor.ts), and that is what
 * the package does with
 *
 * - a socket that the program forgot, which the garbage collector takes in any order;
 * - the sockets that are open when a worker thread ends. There, moreover, a read
 *   that waits in native code ends the process ("Napi::Error").
 *
 * For the second only the worker's `exit` event can help: `Worker.terminate()`
 * does not raise it, so a worker's sockets have to be closed before it is
 * terminated (docs/engines.md).
 */
import type { NativeEvent, NativeObserver, NativeSocket } from "./native.js";

/** How long messages may still leave when a worker thread ends with open sockets, in ms. */
const LAST_LINGER = 50;
/** libzmq's threads need some more to take the sockets apart, in ms. */
const LAST_WAIT = LAST_LINGER + 25;

/** The native side of a socket; knows nothing of its owner. */
export interface NativePair {
  readonly socket: NativeSocket;
  observer: NativeObserver | undefined;
}

const kept = new Set<NativePair>();

const forgotten = new FinalizationRegistry<NativePair>((pair) => {
  pair.socket.close();
  const { observer } = pair;
  if (observer === undefined) kept.delete(pair);
  else void readToEnd(observer, () => undefined).then(() => kept.delete(pair));
});

/**
 * Closes `pair` in order when `owner` is collected or the worker thread ends.
 *
 * @returns call it when they were closed
 */
export function closeWithOwner(owner: object, pair: NativePair): () => void {
  if (kept.size === 0 && inWorker()) process.once("exit", closeAll);
  kept.add(pair);
  forgotten.register(owner, pair, pair);
  return () => {
    forgotten.unregister(pair);
    kept.delete(pair);
    if (kept.size === 0 && inWorker()) process.off("exit", closeAll);
  };
}

/** Whether this is a worker thread: its sockets do not have the process's whole life to be taken apart in order. */
export function inWorker(): boolean {
  return !process.getBuiltinModule("node:worker_threads").isMainThread;
}

function closeAll(): void {
  let observed = false;
  for (const { socket, observer } of kept) {
    if (observer !== undefined) observed = true;
    if (socket.closed) continue;
    const { linger } = socket;
    if (linger < 0 || linger > LAST_LINGER) socket.linger = LAST_LINGER;
    socket.close();
  }
  if (observed) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LAST_WAIT);
  for (const { observer } of kept) observer?.close();
  kept.clear();
}

/** Reads an observer until its socket is gone, or it is replaced by another. */
export async function readToEnd(observer: NativeObserver, emit: (event: NativeEvent) => void): Promise<void> {
  try {
    for (;;) {
      const event = await observer.receive();
      if (event.type === "end") return;
      emit(event);
    }
  } catch {
    // The observer was closed under us: the context is gone, and so is the socket.
  }
}
