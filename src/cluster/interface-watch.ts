/**
 * Polls the host's interfaces, whose changes the system does not report to Node.
 *
 *   start ──every READ_INTERVAL, and after a datagram could not be sent──> read() ──> onRead
 *
 * Reading takes 50 us for a few interfaces, and some ms for a thousand, as on container hosts. Polling uses at most a
 * thousandth of the time, but at least once in LONGEST_INTERVAL.
 */

/** Of few interfaces, and of very many. */
const READ_INTERVAL = 1_000;
const LONGEST_INTERVAL = 5_000;

export class InterfaceWatch<T> {
  readonly #read: () => T;
  readonly #onRead: (interfaces: T) => void;
  #timer: NodeJS.Timeout | undefined;
  #isSoon = false;
  #stopped = false;

  /** @param read a poll in which it throws reports nothing */
  constructor(read: () => T, onRead: (interfaces: T) => void) {
    this.#read = read;
    this.#onRead = onRead;
  }

  start(): void {
    this.#schedule(READ_INTERVAL);
  }

  /** An interface may be gone, or have another address. */
  onSendFailed(): void {
    if (this.#isSoon || this.#stopped || this.#timer === undefined) return;
    this.#isSoon = true;
    this.#schedule(500);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #schedule(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#isSoon = false;
      const interfaces = this.#poll();
      if (interfaces !== undefined) this.#onRead(interfaces);
    }, ms);
    this.#timer.unref();
  }

  #poll(): T | undefined {
    const start = performance.now();
    try {
      return this.#read();
    } catch {
      return undefined; // Out of descriptors, or the needed interface is gone: the previous result stays.
    } finally {
      const pause = 1_000 * (performance.now() - start);
      this.#schedule(Math.min(LONGEST_INTERVAL, Math.max(READ_INTERVAL, pause)));
    }
  }
}
