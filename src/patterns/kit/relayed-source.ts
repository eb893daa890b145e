/** Endpoint source fed by another thread: the main thread reads the real source. */
import type { EndpointSource } from "../../sockets/endpoint-source.js";

/** Supports one reader at a time. */
export class RelayedSource implements EndpointSource {
  #list: readonly string[] | undefined;
  #wake: () => void = () => undefined;

  /** Sets a new list; an unread list is replaced. */
  set(list: readonly string[]): void {
    this.#list = list;
    this.#wake();
  }

  async *endpoints(signal: AbortSignal): AsyncGenerator<readonly string[], undefined> {
    let given: readonly string[] | undefined;
    signal.addEventListener("abort", () => this.#wake(), { once: true });
    while (!signal.aborted) {
      if (this.#list === given) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      given = this.#list as readonly string[];
      yield given;
    }
    return undefined;
  }
}
