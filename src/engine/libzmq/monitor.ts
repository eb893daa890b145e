/**
 * Reads a native socket's monitor, libzmq's only report of arriving and leaving peers.
 *
 * Four facts about libzmq 4.3 and the package explain the design:
 *
 * 1. A monitor without a reader is dangerous. libzmq's I/O thread writes events with a blocking send. Once about 2,000
 *    are queued or the reader is closed, that thread stops, with every socket of the context. A started monitor is
 *    therefore read until its socket is gone.
 * 2. A pending `observer.receive()` keeps the process alive and cannot be cancelled. A "loose" monitor, which must not
 *    keep the process alive, is drained on each tick. Then a new observer replaces the old one, so libzmq ends the old
 *    monitor with an `end` event, which settles the pending read.
 * 3. An observer fails if libzmq has no socket left for it, but its monitor has then started without a reader (1). The
 *    engine reserves sockets for a replacement (engine.ts), and only one is in progress at a time.
 * 4. An inproc socket ends when its peer has read everything or has closed. In a worker thread this may be long after
 *    the end of the thread and of the observer (1). libzmq reports no inproc peers anyway, so in worker threads such a
 *    socket has no monitor (socket.ts).
 *
 *        hold(true)                   close of the socket
 *   loose ---------> held -----------------------+----> ended
 *     |  <---------                              |
 *     |  hold(false), on the next tick           |
 *     +------------------------------------------+
 */
import { toShoalError } from "./errors.js";
import { closeWithOwner, type NativePair, readToEnd } from "./lifetime.js";
import type { Native, NativeEvent, NativeObserver, NativeSocket } from "./native.js";

/** Attempts to start one monitor. */
const MAX_ATTEMPTS = 1_000;

export class Monitor {
  readonly #native: Native;
  readonly #emit: (event: NativeEvent) => void;
  readonly #ended: () => void;
  readonly #pair: NativePair;
  readonly #disown: () => void;
  #reading = false;
  /** Replaced observers that still have native sockets. */
  #leaving = 0;
  #referenced = false;
  #final = false;

  /**
   * @param emit gets all events except the ends of replaced monitors
   * @param ended called once, last, when the socket is destroyed
   */
  constructor(native: Native, socket: NativeSocket, emit: (event: NativeEvent) => void, ended: () => void) {
    this.#native = native;
    this.#emit = emit;
    this.#ended = ended;
    this.#pair = { socket, observer: observe(native, socket) };
    this.#disown = closeWithOwner(this, this.#pair);
  }

  /** Reads the monitor continuously, which keeps the process alive. */
  ref(): void {
    this.#referenced = true;
    this.#read();
  }

  /** Reads the monitor on ticks only. */
  unref(): void {
    this.#referenced = false;
  }

  /** Drains the monitor, then releases the process unless referenced. */
  tick(): void {
    if (this.#final) return;
    if (this.#pair.observer === undefined) this.#observe();
    if (this.#referenced) return;
    this.#read();
    setImmediate(this.#letGo);
  }

  /**
   * Prepares for the socket's close: the next `end` is final.
   *
   * @returns whether an `end` will follow; `false` without an observer
   */
  finish(): boolean {
    this.#final = true;
    if (this.#pair.observer === undefined) this.#observe();
    this.ref();
    return this.#pair.observer !== undefined;
  }

  #letGo = (): void => {
    const pair = this.#pair;
    if (this.#referenced || this.#final || !this.#reading || this.#leaving > 0 || pair.socket.closed) return;
    this.#observe();
  };

  /** Replaces the observer. If sockets have run out, events are lost until a later tick succeeds. */
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
    if (observer !== this.#pair.observer) {
      this.#leaving -= 1;
      return;
    }
    this.#disown();
    this.#ended();
  }
}

/**
 * libzmq names a monitor by the memory address of its observer. A recently collected observer may have had the same
 * address, with its socket still open, so another address is tried.
 */
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
