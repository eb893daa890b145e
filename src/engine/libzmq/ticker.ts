/**
 * One timer for all sockets of the engine, which read their monitors (monitor.ts). It never keeps the process
 * alive, and its references are weak.
 */

export interface Ticking {
  tick(): void;
  /** Makes libzmq process commands of other sockets. */
  touch(): void;
}

/** ms between ticks for few sockets. */
const INTERVAL = 100;
/** ms per socket: an idle tick costs about 0.1 ms. */
const INTERVAL_PER_SOCKET = 4;
const MAX_INTERVAL = 2_000;
/** ms at most between touches for a closing socket. */
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

export function startTicking(socket: Ticking): () => void {
  const ref = new WeakRef(socket);
  sockets.add(ref);
  schedule();
  return () => {
    sockets.delete(ref);
  };
}

let soon = false;

/** An inproc socket notices a new peer only within a call. */
export function touchSoon(): void {
  if (soon) return;
  soon = true;
  setImmediate(() => {
    soon = false;
    for (const ref of sockets) ref.deref()?.touch();
  });
}

/**
 * Touches all sockets until the returned function is called: a closing inproc socket waits for its peer's
 * next call into libzmq.
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
