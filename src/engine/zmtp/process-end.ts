/**
 * What becomes of accepted messages when the process ends without `close`.
 *
 * When it ends because nothing is left to do, sockets with unsent messages hold it
 * for as long as their linger says. When the program calls `process.exit`, nothing
 * can be waited for: what a connection can take at once is handed to the kernel.
 */

/** A socket that may have something to send at the end. */
export interface Ending {
  /** Whether it holds the process now, because messages wait. */
  lastChance(): void;
  /** Hands to the kernel what it takes at once. */
  lastFlush(): void;
}

/** Held weakly: a socket that the program forgot, and that has no peers, can be collected. */
const open = new Set<WeakRef<Ending>>();

const forgotten = new FinalizationRegistry<WeakRef<Ending>>((socket) => drop(socket));

function beforeExit(): void {
  for (const socket of [...open]) socket.deref()?.lastChance();
}

function exit(): void {
  for (const socket of open) socket.deref()?.lastFlush();
}

function drop(socket: WeakRef<Ending>): void {
  if (!open.delete(socket) || open.size > 0) return;
  process.off("beforeExit", beforeExit);
  process.off("exit", exit);
}

/** @returns call it when the socket is closed */
export function atProcessEnd(socket: Ending): () => void {
  if (open.size === 0) {
    process.on("beforeExit", beforeExit);
    process.on("exit", exit);
  }
  const ref = new WeakRef(socket);
  open.add(ref);
  forgotten.register(socket, ref, ref);
  return () => {
    forgotten.unregister(ref);
    drop(ref);
  };
}
