/** Waits until an engine's socket has a message or room, for relays. */
import { ClosedError, type ShoalError, TimeoutError } from "../core/errors.js";
import { refusedWait, Waiter, type WaitOptions } from "../core/waiter.js";

export class Readiness {
  readonly #isReady: () => boolean;
  readonly #want: (on: boolean) => void;
  readonly #waiters = new Set<Waiter<void>>();

  /**
   * @param isReady checks the engine
   * @param want starts or stops the engine's report
   */
  constructor(isReady: () => boolean, want: (on: boolean) => void) {
    this.#isReady = isReady;
    this.#want = want;
  }

  get isAwaited(): boolean {
    return this.#waiters.size > 0;
  }

  wait(options: WaitOptions): Promise<void> {
    const refused = refusedWait(options);
    if (refused !== undefined) return refused;
    if (this.#isReady()) return Promise.resolve();
    const waiter: Waiter<void> = new Waiter<void>(options.timeout ?? -1, options.signal, timedOut, () => {
      this.#waiters.delete(waiter);
      if (this.#waiters.size === 0) this.#want(false);
    });
    this.#waiters.add(waiter);
    this.#want(true);
    return waiter.promise;
  }

  notify(): void {
    if (this.#waiters.size === 0) return;
    for (const waiter of this.#waiters) waiter.resolve();
    this.#waiters.clear();
  }

  abandon(): void {
    for (const waiter of this.#waiters)
      waiter.abandon(new ClosedError("EAGAIN", "The socket closed while the call waited"));
    this.#waiters.clear();
  }
}

function timedOut(): ShoalError {
  return new TimeoutError("EAGAIN", "The socket was not ready in time");
}
