/**
 * The host's interfaces, as they are now: they come up after a program was started, go, and get other addresses.
 *
 *   start ──every READ_INTERVAL, and after a datagram could not be sent──> read() ──> onRead
 *
 * The system reports no changes to Node, so they are read again and again: 50 us for a few interfaces, some ms for a thousand, as on hosts
 * of containers. Reading takes a thousandth of the time at most, unless that would be less than once in LONGEST_INTERVAL.
 */

/** ms between two looks at the interfaces, where they are few; of very many. */
const READ_INTERVAL = 1_000;
const LONGEST_INTERVAL = 5_000;
/** How many times as long as a look takes the next one is after it. */
const READ_PAUSE = 1_000;
/** ms from a failed datagram to the next look: the failures of a second are one look. */
const READ_AFTER_FAILURE = 500;

/** Looks at the interfaces again and again. */
export class InterfaceWatch<T> {
  readonly #read: () => T;
  readonly #onRead: (interfaces: T) => void;
  #timer: NodeJS.Timeout | undefined;
  #isSoon = false;
  #stopped = false;

  /** @param read may throw; then nothing is reported */
  constructor(read: () => T, onRead: (interfaces: T) => void) {
    this.#read = read;
    this.#onRead = onRead;
  }

  start(): void {
    this.#schedule(READ_INTERVAL);
  }

  /** A datagram could not be sent: an interface may be gone, or have another address. */
  onSendFailed(): void {
    if (this.#isSoon || this.#stopped || this.#timer === undefined) return;
    this.#isSoon = true;
    this.#schedule(READ_AFTER_FAILURE);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #schedule(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#isSoon = false;
      const interfaces = this.#look();
      if (interfaces !== undefined) this.#onRead(interfaces);
    }, ms);
    this.#timer.unref();
  }

  #look(): T | undefined {
    const start = performance.now();
    try {
      return this.#read();
    } catch {
      return undefined; // No descriptor is left, or the one to use is gone for now: what was read before counts.
    } finally {
      const pause = READ_PAUSE * (performance.now() - start);
      this.#schedule(Math.min(LONGEST_INTERVAL, Math.max(READ_INTERVAL, pause)));
    }
  }
}
