/** A source of endpoints whose lists come from elsewhere: a thread has one whose source is read in the main thread. */
import type { EndpointSource } from "../../sockets/endpoint-source.js";

/** For one reader at a time. */
export class RelayedSource implements EndpointSource {
  #list: readonly string[] | undefined;
  #wake: () => void = () => undefined;

  /** There is another list. One that was not read yet is skipped. */
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
