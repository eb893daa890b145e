/**
 * Reads a native socket's monitor, libzmq's only report of peers. Facts about libzmq 4.3 and the package:
 *
 * 1. libzmq's I/O thread writes events with a blocking send. With about 2,000 queued, or a closed reader, it
 * stops, with every socket of the context. So a started monitor is read until its socket is gone.
 * 2. A pending `observer.receive()` keeps the process alive and cannot be cancelled. So a socket with a monitor keeps
 * the process alive until it is closed.
 * 3. An observer fails if libzmq has no socket left for it, but its monitor has started without a reader (1).
 * So the engine reserves sockets (engine.ts).
 */
import {
  type Native,
  type NativeEvent,
  type NativeObserver,
  type NativeSocket,
  toShoalError,
} from "./native.js";

const MAX_ATTEMPTS = 1_000;

/**
 * Reads a socket's events to their end.
 *
 * @returns settles when the socket is gone
 * @throws as `toShoalError`
 */
export function startMonitor(
  native: Native,
  socket: NativeSocket,
  emit: (event: NativeEvent) => void,
): Promise<void> {
  return readToEnd(observe(native, socket), emit);
}

/** libzmq names a monitor by its observer's address, which a collected one may have had: another is tried. */
function observe(native: Native, socket: NativeSocket): NativeObserver {
  for (let attempt = 1; ; attempt++) {
    try {
      return new native.Observer(socket);
    } catch (error) {
      if (attempt < MAX_ATTEMPTS && (error as NodeJS.ErrnoException).code === "EADDRINUSE") continue;
      throw toShoalError(error, "observe the socket");
    }
  }
}

async function readToEnd(observer: NativeObserver, emit: (event: NativeEvent) => void): Promise<void> {
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

const sockets = new Set<Ticking>();
let timer: NodeJS.Timeout | undefined;

function tickAll(): void {
  timer = undefined;
  for (const socket of sockets) socket.tick();
  schedule();
}

function schedule(): void {
  if (timer !== undefined || sockets.size === 0) return;
  const interval = Math.min(MAX_INTERVAL, Math.max(INTERVAL, sockets.size * INTERVAL_PER_SOCKET));
  timer = setTimeout(tickAll, interval);
  timer.unref();
}

export function startTicking(socket: Ticking): () => void {
  sockets.add(socket);
  schedule();
  return () => {
    sockets.delete(socket);
  };
}

/**
 * Touches all sockets until the returned function is called: a closing inproc socket waits for its peer's
 * next call into libzmq.
 */
export function touchUntilDone(): () => void {
  let pause = 1;
  const touchAll = (): void => {
    for (const socket of sockets) socket.touch();
    pause = Math.min(pause * 2, MAX_PAUSE);
    next = setTimeout(touchAll, pause);
  };
  let next = setTimeout(touchAll, 0);
  return () => clearTimeout(next);
}
