/**
 * One timer for all sockets of the engine, which never keeps the process alive.
 *
 * A socket that nobody waits on still has to read its monitor now and then
 * (monitor.ts). It is referenced weakly, so that a socket that the program
 * forgot can be collected; the package then closes it.
 */

export interface Ticking {
  tick(): void;
  /** Lets libzmq handle what other sockets have sent to this one. */
  touch(): void;
}

/** ms between ticks for few sockets; it grows so that ticking costs at most a few percent of a core. */
const INTERVAL = 100;
/** A tick of one idle socket costs about 0.1 ms (two native sockets are made again). */
const INTERVAL_PER_SOCKET = 4;
const MAX_INTERVAL = 2_000;
/** The longest pause between two touches for a socket that closes, in ms. */
const MAX_PAUSE = 50;

const sockets = new Set<WeakRef<Ticking>>();
let timer: NodeJS.Timeout | undefined;

function tickAll(): void {
  timer = undefined;
  for (const ref of sockets) {
    const socket = ref.deref();
    if (socket === undefined) sockets.delete(ref);
    else socket.tick();
  }
  schedule();
}

function schedule(): void {
  if (timer !== undefined || sockets.size === 0) return;
  const interval = Math.min(MAX_INTERVAL, Math.max(INTERVAL, sockets.size * INTERVAL_PER_SOCKET));
  timer = setTimeout(tickAll, interval);
  timer.unref();
}

/** Calls `socket.tick()` from time to time until the returned function is called. */
export function startTicking(socket: Ticking): () => void {
  const ref = new WeakRef(socket);
  sockets.add(ref);
  schedule();
  return () => {
    sockets.delete(ref);
  };
}

let soon = false;

/** Touches all sockets after this turn of the event loop: an inproc socket learns of a new peer only in a call. */
export function touchSoon(): void {
  if (soon) return;
  soon = true;
  setImmediate(() => {
    soon = false;
    for (const ref of sockets) ref.deref()?.touch();
  });
}

/**
 * Touches all sockets, again and again, until the returned function is called.
 *
 * Two inproc sockets have no I/O thread between them: one that closes waits for
 * the other's next call into libzmq, and an idle socket makes none.
 */
export function touchUntilDone(): () => void {
  let pause = 1;
  const touchAll = (): void => {
    for (const ref of sockets) ref.deref()?.touch();
    pause = Math.min(pause * 2, MAX_PAUSE);
    next = setTimeout(touchAll, pause);
  };
  let next = setTimeout(touchAll, 0);
  return () => clearTimeout(next);
}
