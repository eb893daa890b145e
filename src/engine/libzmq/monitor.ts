/**
 * Reads a native socket's monitor, the only place where libzmq reports which peers came
 * and left.
 *
 * Two facts of libzmq 4.3 and the package shape this file:
 *
 * 1. A monitor that nobody reads is dangerous. libzmq's I/O thread writes the
 *    events with a blocking send, so once about 2,000 wait, or once the reading
 *    end is closed, that thread stops, and with it every socket of the context.
 *    A monitor, once started, is therefore read until its socket is gone.
 * 2. A pending `observer.receive()` keeps the process alive, and the package
 *    offers no way to take that back. So while nothing should keep the process
 *    alive ("loose"), the monitor is read in passing: on each tick what waits is
 *    drained, and then the observer is replaced by a new one. That makes libzmq
 *    end the old monitor with an `end` event, which settles the pending read.
 * 3. An observer for whose end libzmq has no socket left has already started the
 *    monitor: nobody reads it, and it is dangerous (1). So the engine allows for
 *    the sockets of a replacement (engine.ts), and there is one at a time.
 * 4. An inproc socket is gone when its peer has read what it was sent, or has closed: in a worker thread that may be long
 *    after the thread has ended, and its observer with it (1). libzmq reports nothing of inproc peers, so there such a
 *    socket has no monitor at all (socket.ts).
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
  /** Replaced observers that have not ended yet: their native sockets are there still. */
  #leaving = 0;
  #referenced = false;
  #final = false;

  /**
   * @param emit gets every event but the artificial ends of replaced monitors
   * @param ended the socket has been destroyed; called once, last
   */
  constructor(native: Native, socket: NativeSocket, emit: (event: NativeEvent) => void, ended: () => void) {
    this.#native = native;
    this.#emit = emit;
    this.#ended = ended;
    this.#pair = { socket, observer: observe(native, socket) };
    this.#disown = closeWithOwner(this, this.#pair);
  }

  /** The monitor is read at once, which keeps the process alive. */
  ref(): void {
    this.#referenced = true;
    this.#read();
  }

  /** The monitor is read in passing. */
  unref(): void {
    this.#referenced = false;
  }

  /** Drains what waits; lets go of the process if nothing holds it any more. */
  tick(): void {
    if (this.#final) return;
    if (this.#pair.observer === undefined) this.#observe();
    if (this.#referenced) return;
    this.#read();
    setImmediate(this.#letGo);
  }

  /**
   * The socket is about to be closed: from now on the next `end` is the real one.
   *
   * @returns whether there will be one; not when no observer can be had
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

  /** Replaces the observer. Where sockets have run out the observer is missing until a later tick, and events are missed. */
  #observe(): void {
    if (this.#reading) this.#leaving += 1;
    this.#reading = false;
    this.#pair.observer = undefined;
    try {
      this.#pair.observer = observe(this.#native, this.#pair.socket);
      if (this.#referenced) this.#read();
    } catch {
      // Tried again with the next tick.
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
 * libzmq knows a monitor by where its observer lies in memory. An observer that was collected a moment ago
 * may have lain there, and its socket not be quite gone yet: another place has to be tried.
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
