/**
 * Polls the host's interfaces, whose changes the system does not report to Node.
 *
 *   start ──every READ_INTERVAL──> read() ──> onRead
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

  /** @param read a poll in which it throws reports nothing */
  constructor(read: () => T, onRead: (interfaces: T) => void) {
    this.#read = read;
    this.#onRead = onRead;
  }

  start(): void {
    this.#schedule(READ_INTERVAL);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #schedule(ms: number): void {
    this.#timer = setTimeout(() => this.#poll(), ms).unref();
  }

  #poll(): void {
    const start = performance.now();
    let interfaces: T | undefined;
    try {
      interfaces = this.#read();
    } catch {
      // Out of descriptors, or the needed interface is gone: the previous result stays.
    }
    const pause = 1_000 * (performance.now() - start);
    this.#schedule(Math.min(LONGEST_INTERVAL, Math.max(READ_INTERVAL, pause)));
    if (interfaces !== undefined) this.#onRead(interfaces);
  }
}
