/** Waits of relays until an engine's socket has a message or room. */
import { ClosedError } from "../core/errors.js";

interface Wait {
  resolve(): void;
  reject(error: ClosedError): void;
}

export class Readiness {
  readonly #waits: Wait[] = [];

  get isAwaited(): boolean {
    return this.#waits.length > 0;
  }

  wait(): Promise<void> {
    return new Promise((resolve, reject) => this.#waits.push({ resolve, reject }));
  }

  notify(): void {
    if (this.isAwaited) for (const { resolve } of this.#waits.splice(0)) resolve();
  }

  abandon(): void {
    for (const { reject } of this.#waits.splice(0))
      reject(new ClosedError("EAGAIN", "The socket closed while the call waited"));
  }
}
