/** A protocol of a program's own: streams in memory, which a test makes fail or cuts. */
import { Duplex, duplexPair } from "node:stream";
import { type MessageProtocol, streamProtocol } from "../../../src/cluster/index.js";

/** Gives what is written to the other end within the write, or after some ms. */
class EagerEnd extends Duplex {
  other: EagerEnd | undefined;
  readonly #delay: number;

  constructor(delay: number) {
    super();
    this.#delay = delay;
  }

  override _read(): void {}
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    const bytes = Buffer.from(chunk);
    if (this.#delay === 0) this.other?.push(bytes);
    else setTimeout(() => this.other?.push(bytes), this.#delay);
    done();
  }
}

export function eagerPair(delay = 0): [Duplex, Duplex] {
  const [here, there] = [new EagerEnd(delay), new EagerEnd(delay)];
  here.other = there;
  there.other = here;
  return [here, there];
}

export class MemoryProtocol {
  readonly protocol: MessageProtocol;
  /** Both ends of each. */
  readonly streams: Duplex[] = [];
  fails = false;
  attempts = 0;
  readonly #listeners = new Map<string, (stream: Duplex) => void>();

  constructor(name: string, make: () => [Duplex, Duplex] = duplexPair) {
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
        const [here, there] = make();
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
