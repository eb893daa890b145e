/** A protocol of a program's own: streams in memory, which a test makes fail or cuts. */
import { Duplex, duplexPair } from "node:stream";
import { type MessageProtocol, streamProtocol } from "../../../src/cluster/index.js";

/** Gives what is written to the other end within the write. */
class EagerEnd extends Duplex {
  other: EagerEnd | undefined;
  override _read(): void {}
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.other?.push(Buffer.from(chunk));
    done();
  }
}

export function eagerPair(): [Duplex, Duplex] {
  const [here, there] = [new EagerEnd(), new EagerEnd()];
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
