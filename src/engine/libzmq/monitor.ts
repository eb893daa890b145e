/**
 * Reads a native socket's monitor, libzmq's only report of peers. Facts about libzmq 4.3 and the package:
 *
 * 1. libzmq's I/O thread writes events with a blocking send. With about 2,000 queued, or a closed reader, it
 * stops, with every socket of the context. So a started monitor is read until its socket is gone.
 * 2. A pending `observer.receive()` keeps the process alive and cannot be cancelled. So a "loose" monitor is
 * drained on each tick. Then a new observer replaces the old one, which ends with an `end` event.
 * 3. An observer fails if libzmq has no socket left for it, but its monitor has started without a reader (1).
 * The engine reserves sockets for a replacement (engine.ts), one at a time.
 * 4. In a worker thread, an inproc socket may end long after the thread and the observer (1). libzmq reports
 * no inproc peers, so such a socket has no monitor (socket.ts).
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

const MAX_ATTEMPTS = 1_000;

export class Monitor {
  readonly #native: Native;
  readonly #emit: (event: NativeEvent) => void;
  readonly #ended: () => void;
  readonly #pair: NativePair;
  readonly #disown: () => void;
  #reading = false;
  #leaving = 0;
  #referenced = false;
  #final = false;

  /** @param emit gets all events except the ends of replaced monitors @param ended called once */
  constructor(native: Native, socket: NativeSocket, emit: (event: NativeEvent) => void, ended: () => void) {
    this.#native = native;
    this.#emit = emit;
    this.#ended = ended;
    this.#pair = { socket, observer: observe(native, socket) };
    this.#disown = closeWithOwner(this, this.#pair);
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

  /** The next `end` is final. @returns whether one will follow */
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
    if (observer !== this.#pair.observer) {
      this.#leaving -= 1;
      return;
    }
    this.#disown();
    this.#ended();
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
