/** Transports of programs as streams of the engine. */
import type { Duplex } from "node:stream";
import { invalidArgument, takeDuplex } from "../../../core/arguments.js";
import { NotSupportedError } from "../../../core/errors.js";
import { addressOf } from "../../../core/schemes/grammar.js";
import type {
  TransportAcceptor,
  TransportListener,
  TransportStream,
  Transport as UserTransport,
} from "../../../core/schemes/schemes.js";
import { ignore } from "../../../core/waiter.js";
import { transportError } from "../errors.js";
import { Reader } from "./reader.js";
import type { Acceptor, Listener, Stream, Transport } from "./transport.js";

export class DuplexStream implements Stream {
  readonly socket: Duplex;
  readonly reader = new Reader();
  readonly remote: string;
  readonly address: string;

  constructor({ stream, remote, address = addressOf(remote) }: TransportStream) {
    this.socket = stream;
    this.remote = remote;
    this.address = address;
    stream.on("error", ignore);
  }

  pending(): number {
    return this.socket.writableLength;
  }
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
      Promise.resolve()
        .then(() => user.dial(endpoint, controller.signal))
        .then(
          (given) => {
            if (settled) given.stream.on("error", ignore).destroy();
            else settle(checkedStream(given));
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
      acceptor.accepted(checkedStream(given));
    },
    failed: (error) => acceptor.failed(transportError(error, "accept at", endpoint)),
  };
}

function checkedStream(given: TransportStream): Stream {
  if (typeof given?.remote !== "string")
    throw invalidArgument("remote must be the peer's endpoint", given?.remote);
  takeDuplex(given.stream);
  return new DuplexStream(given);
}

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
