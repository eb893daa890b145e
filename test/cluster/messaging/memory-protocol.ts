/** A protocol of a program's own: streams in memory, which a test makes fail or cuts. */
import { type Duplex, duplexPair } from "node:stream";
import { type MessageProtocol, streamProtocol } from "../../../src/cluster/index.js";

export class MemoryProtocol {
  readonly protocol: MessageProtocol;
  /** Both ends of each. */
  readonly streams: Duplex[] = [];
  fails = false;
  attempts = 0;
  readonly #listeners = new Map<string, (stream: Duplex) => void>();

  constructor(name: string) {
    this.protocol = streamProtocol({
      name,
      reaches: () => true,
      listen: async (accept) => {
        const advert = `${this.#listeners.size}`;
        this.#listeners.set(advert, accept);
        return { advert, close: async () => void this.#listeners.delete(advert) };
      },
      connect: async (where) => {
        this.attempts += 1;
        const accept = this.#listeners.get(where);
        if (this.fails || accept === undefined) throw new Error("it fails");
        const [here, there] = duplexPair();
        this.streams.push(here, there);
        accept(there);
        return here;
      },
    });
  }

  cut(): void {
    for (const stream of this.streams.splice(0)) stream.destroy();
  }
}
