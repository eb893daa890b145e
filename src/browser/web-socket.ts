/**
 * `ws://` and `wss://` over the standard `WebSocket`, which can dial but not listen.
 *
 *   dial    new WebSocket(url, subprotocols) --open--> done
 */
import { NotSupportedError } from "../core/errors.js";
import { hostOf } from "../core/schemes/schemes.browser.js";
import { chosenMechanism } from "../engine/zmtp/mechanism/mechanism.js";
import {
  DialFault,
  type Listener,
  type Stream,
  type Transport,
  type TransportOptions,
} from "../engine/zmtp/transport/transport.js";
import { browserOffersOf } from "../engine/zmtp/ws/subprotocol.js";
import { ABNORMAL, type StandardWebSocket, standardWebSocket } from "./standard-web-socket.js";
import { WebSocketFraming } from "./web-socket-framing.js";
import { WebSocketStream } from "./web-socket-stream.js";

export function noListener(endpoint: string): NotSupportedError {
  return new NotSupportedError(
    `Cannot bind ${endpoint}: a page cannot listen for connections; it connects to a socket that is bound elsewhere`,
    "NOT_SUPPORTED",
    { endpoint },
  );
}

/** @param scheme ws or wss */
export function webSocketTransport(scheme: string): Transport {
  return {
    scheme,
    raw: false,

    assertUsable(use) {
      // `listen` refuses binds, with the endpoint.
      if (use === "connect" && standardWebSocket() === undefined)
        throw new NotSupportedError("There is no WebSocket here: shoal/browser needs the standard one");
    },

    async listen(endpoint): Promise<Listener> {
      throw noListener(endpoint);
    },

    listenSync(endpoint): Listener {
      throw noListener(endpoint);
    },

    dial(endpoint, options, done) {
      const attempt = new Attempt(endpoint, options, done);
      // `done` must not be called within this call.
      queueMicrotask(() => attempt.start());
      return () => attempt.cancel();
    },
  };
}

function notOpened(code: number, reason: string): Error {
  const why = reason === "" ? "" : `: ${reason}`;
  return new Error(
    `the WebSocket did not open (${code}${why}); a browser reports no more than that to a page`,
  );
}

class Attempt {
  readonly #endpoint: string;
  readonly #options: TransportOptions;
  readonly #done: (result: Stream | Error) => void;
  #socket: StandardWebSocket | undefined = undefined;
  #timer: NodeJS.Timeout | undefined = undefined;
  #isOver = false;

  constructor(endpoint: string, options: TransportOptions, done: (result: Stream | Error) => void) {
    this.#endpoint = endpoint;
    this.#options = options;
    this.#done = done;
  }

  start(): void {
    const WebSocket = standardWebSocket();
    if (this.#isOver || WebSocket === undefined) return;
    const { name } = chosenMechanism(this.#options);
    const offers = browserOffersOf(name);
    let socket: StandardWebSocket;
    try {
      socket = new WebSocket(this.#endpoint, offers);
    } catch (error) {
      // A page of https may not ask for ws, for example.
      this.#settle(error as Error);
      return;
    }
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    const { connectTimeout, handshakeInterval } = this.#options;
    const timeout = connectTimeout > 0 ? connectTimeout : handshakeInterval;
    if (timeout > 0)
      this.#timer = setTimeout(() => {
        this.#settle(new Error(`no connection within ${timeout} ms`));
        this.#abandon();
      }, timeout).unref();
    socket.onclose = ({ code, reason }) => this.#settle(notOpened(code, reason));
    // Browsers fire `close` next; Node.js 20 does not.
    socket.onerror = () => setImmediate(() => this.#settle(notOpened(ABNORMAL, "")));
    socket.onopen = () => this.#socketOnOpen(socket, name, offers);
  }

  #socketOnOpen(
    socket: StandardWebSocket,
    mechanism: ReturnType<typeof chosenMechanism>["name"],
    offers: readonly string[],
  ): void {
    const { protocol } = socket;
    if (!offers.includes(protocol)) {
      this.#settle(
        new DialFault({
          kind: "other",
          code: "ERR_HANDSHAKE",
          message: `the server chose ${protocol === "" ? "no subprotocol" : `the subprotocol ${protocol}`}; offered were ${offers.join(", ")}`,
        }),
      );
      this.#abandon();
      return;
    }
    this.#settle(
      new WebSocketStream(
        socket,
        new WebSocketFraming(mechanism, protocol),
        this.#endpoint,
        hostOf(this.#endpoint),
      ),
    );
  }

  cancel(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#abandon();
  }

  #settle(result: Stream | Error): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#done(result);
  }

  #abandon(): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    socket.onopen = null;
    socket.onerror = null;
    socket.onmessage = null;
    socket.onclose = null;
    socket.close();
  }
}
