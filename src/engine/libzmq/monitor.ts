/**
 * Reads a native socket's monitor, libzmq's only report of peers. Facts about libzmq 4.3 and the package:
 *
 * 1. libzmq's I/O thread writes events with a blocking send. With about 2,000 queued, or a closed reader, it
 * stops, with every socket of the context. So a started monitor is read until its socket is gone.
 * 2. A pending `observer.receive()` keeps the process alive and cannot be cancelled. So a "loose" monitor is
 * drained on each tick. Then a new observer replaces the old one, which ends with an `end` event.
 * 3. An observer fails if libzmq has no socket left for it, but its monitor has started without a reader (1).
 * So the engine reserves sockets (engine.ts).
 *
 *        hold(true)                   close of the socket
 *   loose ---------> held -----------------------+----> ended
 *     |  <---------                              |
 *     |  hold(false), on the next tick           |
 *     +------------------------------------------+
 */
import {
  type Native,
  type NativeEvent,
  type NativeObserver,
  type NativeSocket,
  toShoalError,
} from "./native.js";

const MAX_ATTEMPTS = 1_000;

export class Monitor {
  readonly #native: Native;
  readonly #emit: (event: NativeEvent) => void;
  readonly #pair: NativePair;
  #ended: (() => void) | undefined;
  #reading = false;
  #leaving = 0;
  #referenced = false;
  #final = false;

  /** @param emit gets all events except the ends of replaced monitors */
  constructor(native: Native, pair: NativePair, emit: (event: NativeEvent) => void) {
    this.#native = native;
    this.#emit = emit;
    this.#pair = pair;
    pair.observer = observe(native, pair.socket);
  }

  ref(): void {
    this.#referenced = true;
    this.#read();
  }

  unref(): void {
    this.#referenced = false;
  }

  tick(): void {
    if (this.#final) return;
    if (this.#pair.observer === undefined) this.#observe();
    if (this.#referenced) return;
    this.#read();
    setImmediate(this.#letGo);
  }

  /** The next `end` is final. @param ended called at it, once @returns whether one will follow */
  finish(ended: () => void): boolean {
    this.#final = true;
    this.#ended = ended;
    if (this.#pair.observer === undefined) this.#observe();
    this.ref();
    return this.#pair.observer !== undefined;
  }

  #letGo = (): void => {
    const pair = this.#pair;
    if (this.#referenced || this.#final || !this.#reading || this.#leaving > 0 || pair.socket.closed) return;
    this.#observe();
  };

  /** If sockets have run out, events are lost until a later tick succeeds. */
  #observe(): void {
    if (this.#reading) this.#leaving += 1;
    this.#reading = false;
    this.#pair.observer = undefined;
    try {
      this.#pair.observer = observe(this.#native, this.#pair.socket);
      if (this.#referenced) this.#read();
    } catch {
      // The next tick tries again.
    }
  }

  #read(): void {
    const { observer } = this.#pair;
    if (this.#reading || observer === undefined) return;
    this.#reading = true;
    void this.#run(observer);
  }

  async #run(observer: NativeObserver): Promise<void> {
    await readToEnd(observer, this.#emit);
    if (observer !== this.#pair.observer) this.#leaving -= 1;
    else this.#ended?.();
  }
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

/** Closes a native socket that the program dropped before its observer (1). @returns call it once the pair is closed */
export function closeWithOwner(owner: object, pair: NativePair): () => void {
  kept.add(pair);
  forgotten.register(owner, pair, pair);
  return () => {
    forgotten.unregister(pair);
    kept.delete(pair);
  };
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
