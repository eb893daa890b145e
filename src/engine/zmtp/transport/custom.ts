/** Adapts a program's transport (core/schemes/custom-transport.ts) to the engine. */

import type { Duplex } from "node:stream";
import { isBytes } from "../../../core/bytes.js";
import { NotSupportedError } from "../../../core/errors.js";
import { ignore } from "../../../core/ignore.js";
import type {
  TransportAcceptor,
  TransportListener,
  TransportStream,
  Transport as UserTransport,
} from "../../../core/schemes/custom-transport.js";
import { addressOf } from "../../../core/schemes/scheme.js";
import { transportError } from "../errors.js";
import type { ByteStream } from "./byte-stream.js";
import { Reader } from "./reader.js";
import type { Acceptor, Listener, Stream, Transport } from "./transport.js";

/** Counts the bytes written to a program's stream, as Duplex does not. */
class CountedDuplex implements ByteStream {
  written = 0;
  readonly #duplex: Duplex;

  constructor(duplex: Duplex) {
    this.#duplex = duplex;
  }

  get writableLength(): number {
    return this.#duplex.writableLength;
  }

  get errored(): Error | null {
    return this.#duplex.errored;
  }

  get writable(): boolean {
    return this.#duplex.writable;
  }

  write(bytes: Uint8Array, done?: (error?: Error | null) => void): boolean {
    this.written += bytes.length;
    return this.#duplex.write(bytes, done);
  }

  cork(): void {
    this.#duplex.cork();
  }

  uncork(): void {
    this.#duplex.uncork();
  }

  end(last?: Uint8Array | (() => void)): void {
    if (isBytes(last)) this.written += last.length;
    this.#duplex.end(last);
  }

  destroy(error?: Error): void {
    this.#duplex.destroy(error);
  }

  pause(): void {
    this.#duplex.pause();
  }

  resume(): void {
    this.#duplex.resume();
  }

  on(event: string, listener: (error: Error) => void): void {
    this.#duplex.on(event, listener);
  }
}

class DuplexStream implements Stream {
  readonly socket: CountedDuplex;
  readonly reader = new Reader();
  readonly remote: string;
  readonly address: string;

  constructor({ stream, remote, address = addressOf(remote) }: TransportStream) {
    this.socket = new CountedDuplex(stream);
    this.remote = remote;
    this.address = address;
    stream.on("error", ignore);
    this.reader.follow(stream);
  }

  taken(): number {
    return this.socket.written - this.socket.writableLength;
  }
}

/** A program's stream as the engine's; `resume` it once it has a reader. */
export function streamOf(given: TransportStream): Stream {
  return new DuplexStream(given);
}

export function customAsTransport(user: UserTransport): Transport {
  return {
    scheme: user.scheme,

    async listen(endpoint, _, acceptor) {
      try {
        return checkedListener(await user.listen(endpoint, acceptorOf(endpoint, acceptor)), user.scheme);
      } catch (error) {
        throw transportError(error, "bind", endpoint);
      }
    },

    listenSync(endpoint, _, acceptor) {
      if (user.listenSync === undefined)
        throw new NotSupportedError(`The transport ${user.scheme} cannot bind synchronously: use bind`);
      try {
        return checkedListener(user.listenSync(endpoint, acceptorOf(endpoint, acceptor)), user.scheme);
      } catch (error) {
        throw transportError(error, "bind", endpoint);
      }
    },

    dial(endpoint, { connectTimeout }, done) {
      const controller = new AbortController();
      let timer: NodeJS.Timeout | undefined;
      let settled = false;
      const settle = (result: Stream | Error): void => {
        if (settled) return;
        settled = true;
        clearTimeout(timer);
        done(result);
      };
      if (connectTimeout > 0) {
        timer = setTimeout(() => {
          settle(new Error(`no connection within ${connectTimeout} ms (connectTimeout)`));
          controller.abort();
        }, connectTimeout).unref();
      }
      // Asynchronously, because `done` must not run within this call.
      Promise.resolve()
        .then(() => user.dial(endpoint, controller.signal))
        .then(
          (given) => {
            if (!settled) settle(new DuplexStream(given));
            else given.stream.on("error", ignore).destroy();
          },
          (error: unknown) => settle(error instanceof Error ? error : new Error(String(error))),
        )
        .catch((error: Error) => settle(error)); // The program returned something other than a stream.
      return () => {
        settled = true;
        clearTimeout(timer);
        controller.abort();
      };
    },
  };
}

function acceptorOf(endpoint: string, acceptor: Acceptor): TransportAcceptor {
  return {
    accepted(given) {
      const stream = new DuplexStream(given);
      acceptor.accepted(stream);
      given.stream.resume();
    },
    failed: (error) => acceptor.failed(transportError(error, "accept at", endpoint)),
  };
}

/** @throws Error for a malformed listener */
function checkedListener(listener: TransportListener, scheme: string): Listener {
  if (typeof listener?.endpoint !== "string" || typeof listener.close !== "function")
    throw new Error(`the transport ${scheme} gave no listener`);
  const { endpoint } = listener;
  return {
    endpoint,
    async close() {
      try {
        await listener.close();
      } catch (error) {
        throw transportError(error, "unbind", endpoint);
      }
    },
  };
}
