/**
 * A stream to a browser. A page cannot stop the sender of a WebSocket, so it states a limit in bytes (docs/spec/ws.md). Beyond
 * the limit the stream counts as full.
 */
import type { ByteStream } from "../transport/byte-stream.js";

/** The peer's limit. */
export interface PeerLimit {
  /** Bytes sent beyond the peer's limit; 0 or less: the peer takes more. */
  readonly excess: number;
  /** Called when the limit was raised. */
  onLimit: () => void;
}

type Done = (error?: Error | null) => void;

export class LimitedStream implements ByteStream {
  readonly #beneath: ByteStream;
  readonly #peer: PeerLimit;
  /** The callback of a write, while only the peer's limit delays it. */
  #waiting: Done | undefined = undefined;

  constructor(beneath: ByteStream, peer: PeerLimit) {
    this.#beneath = beneath;
    this.#peer = peer;
    peer.onLimit = () => {
      const done = this.#waiting;
      if (done === undefined || peer.excess > 0) return;
      this.#waiting = undefined;
      done();
    };
  }

  get writableLength(): number {
    return this.#beneath.writableLength + Math.max(0, this.#peer.excess);
  }

  get errored(): Error | null {
    return this.#beneath.errored;
  }

  get writable(): boolean {
    return this.#beneath.writable;
  }

  write(bytes: Uint8Array, done?: Done): boolean {
    if (done === undefined) return this.#beneath.write(bytes);
    return this.#beneath.write(bytes, (error) => {
      if (this.#peer.excess > 0) this.#waiting = done;
      else done(error);
    });
  }

  cork(): void {
    this.#beneath.cork();
  }

  uncork(): void {
    this.#beneath.uncork();
  }

  end(last?: Uint8Array | (() => void)): unknown {
    return this.#beneath.end(last as () => void);
  }

  destroy(error?: Error): unknown {
    return this.#beneath.destroy(error);
  }

  pause(): unknown {
    return this.#beneath.pause();
  }

  resume(): unknown {
    return this.#beneath.resume();
  }

  on(event: "error" | "end" | "close", listener: (error: Error) => void): unknown {
    return this.#beneath.on(event as "error", listener);
  }
}
