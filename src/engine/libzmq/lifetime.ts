/**
 * Closes native sockets before their observers when the owner cannot: an observer closed first stops libzmq's
 * threads in the whole process (monitor.ts).
 *
 * - Sockets dropped by the program are collected in any order.
 * - A worker thread may end with open sockets; a pending native read then ends the process, too
 *   ("Napi::Error"). This relies on the worker's `exit` event, which `Worker.terminate()` does not emit
 *   (docs/engines.md).
 */
import type { NativeEvent, NativeObserver, NativeSocket } from "./native.js";

/** ms of linger at a worker thread's end. */
const LAST_LINGER = 50;
/** ms */
const LAST_WAIT = LAST_LINGER + 25;

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

/** @returns call it once the pair is closed */
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

/** A worker thread may end long before the process. */
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

export async function readToEnd(observer: NativeObserver, emit: (event: NativeEvent) => void): Promise<void> {
  try {
    for (;;) {
      const event = await observer.receive();
      if (event.type === "end") return;
      emit(event);
    }
  } catch {
    // A closed observer means that the context and the socket are gone.
  }
}
