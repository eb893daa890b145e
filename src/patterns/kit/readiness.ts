/** Pending `ready` calls of a driver. */
import { checkKeys } from "../../core/arguments.js";
import { ClosedError, TimeoutError } from "../../core/errors.js";
import { refusedWait, Waiter, type WaitOptions } from "../../core/waiter.js";

const WAIT_KEYS = ["timeout", "signal"] as const;

export class Readiness {
  readonly #name: string;
  readonly #isReady: () => boolean;
  readonly #waits = new Set<Waiter<void>>();

  /** @param name of the class, for errors */
  constructor(name: string, isReady: () => boolean) {
    this.#name = name;
    this.#isReady = isReady;
  }

  /**
   * Settles when the driver is usable.
   * @param options `timeout` in ms, default -1: no limit
   * @throws TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; InvalidArgumentError `EINVAL`; ClosedError `EAGAIN`
   * when the driver closes
   */
  wait(options: WaitOptions = {}): Promise<void> {
    try {
      checkKeys(`${this.#name}.ready`, options, WAIT_KEYS);
    } catch (error) {
      return Promise.reject(error);
    }
    const refused = refusedWait(options);
    if (refused !== undefined) return refused;
    if (this.#isReady()) return Promise.resolve();
    const { timeout = -1, signal } = options;
    const late = (): TimeoutError =>
      new TimeoutError("ETIMEDOUT", `${this.#name} was not ready within ${timeout} ms`);
    const waiter = new Waiter<void>(timeout, signal, late, () => this.#waits.delete(waiter));
    this.#waits.add(waiter);
    return waiter.promise;
  }

  reached(): void {
    for (const waiter of this.#waits) waiter.resolve();
    this.#waits.clear();
  }

  /** Rejects pending calls, never as an unhandled rejection. */
  close(): void {
    for (const waiter of this.#waits)
      waiter.abandon(new ClosedError("EAGAIN", `${this.#name} closed before it was ready`));
    this.#waits.clear();
  }
}
