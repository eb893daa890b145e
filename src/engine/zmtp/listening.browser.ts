/** Replaces engine/zmtp/listening.ts. A page can bind only to inproc, once that is added. */
import { ADDITIONS } from "../../browser/additions.js";
import { noListener } from "../../browser/web-socket.js";
import type { ListeningParts, Origin, Listening as RealListening } from "./listening.js";

export class Listening {
  readonly #parts: ListeningParts;
  #real: RealListening | undefined;

  constructor(parts: ListeningParts) {
    this.#parts = parts;
  }

  get bound(): number {
    return this.#real?.bound ?? 0;
  }

  async bind(endpoint: string, origin: Origin): Promise<string> {
    return this.#listening(endpoint).bind(endpoint, origin);
  }

  bindSync(endpoint: string, origin: Origin): string {
    return this.#listening(endpoint).bindSync(endpoint, origin);
  }

  unbind(endpoint: string): Promise<void> {
    return this.#listening(endpoint).unbind(endpoint);
  }

  stop(): void {
    this.#real?.stop();
  }

  /** @throws NotSupportedError if inproc is not added */
  #listening(endpoint: string): RealListening {
    this.#real ??= ADDITIONS.inproc?.listening(this.#parts);
    if (this.#real !== undefined) return this.#real;
    const error = noListener(endpoint);
    this.#parts.state.effects.event({ type: "bind:error", address: endpoint, error });
    throw error;
  }
}
