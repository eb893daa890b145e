/**
 * `ws://` and `wss://` over the standard `WebSocket`, which can dial but not listen.
 *
 *   dial    new WebSocket(url, subprotocols) --open--> done
 */
import { NotSupportedError } from "../core/errors.js";
import { chosenMechanism, handshakeFault } from "../engine/zmtp/mechanism/mechanism.js";
import {
  DialFault,
  type Listener,
  type Stream,
  type Transport,
  type TransportOptions,
} from "../engine/zmtp/transport/transport.js";
import { browserOffersOf } from "../engine/zmtp/ws/zws.js";
import { hostOf } from "./endpoints.js";
import {
  ABNORMAL,
  type StandardWebSocket,
  standardWebSocket,
  WebSocketFraming,
  WebSocketStream,
} from "./web-socket-stream.js";

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

    dial,
  };
}

function notOpened(code: number, reason: string): Error {
  const why = reason === "" ? "" : `: ${reason}`;
  return new Error(
    `the WebSocket did not open (${code}${why}); a browser reports no more than that to a page`,
  );
}

function dial(
  endpoint: string,
  options: TransportOptions,
  done: (result: Stream | Error) => void,
): () => void {
  let socket: StandardWebSocket | undefined;
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;
  const settle = (result: Stream | Error): void => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    done(result);
  };
  const abandon = (): void => {
    if (socket === undefined) return;
    socket.onopen = null;
    socket.onerror = null;
    socket.onmessage = null;
    socket.onclose = null;
    socket.close();
  };
  const start = (): void => {
    const WebSocket = standardWebSocket();
    if (isOver || WebSocket === undefined) return;
    const { name } = chosenMechanism(options);
    const offers = browserOffersOf(name);
    let made: StandardWebSocket;
    try {
      made = new WebSocket(endpoint, offers);
    } catch (error) {
      // A page of https may not ask for ws, for example.
      settle(error as Error);
      return;
    }
    socket = made;
    made.binaryType = "arraybuffer";
    const { connectTimeout, handshakeInterval } = options;
    const timeout = connectTimeout > 0 ? connectTimeout : handshakeInterval;
    if (timeout > 0)
      timer = setTimeout(() => {
        settle(new Error(`no connection within ${timeout} ms`));
        abandon();
      }, timeout).unref();
    made.onclose = ({ code, reason }) => settle(notOpened(code, reason));
    // Browsers fire `close` next; Node.js 20 does not.
    made.onerror = () => setImmediate(() => settle(notOpened(ABNORMAL, "")));
    made.onopen = () => {
      const { protocol } = made;
      if (offers.includes(protocol)) {
        const framing = new WebSocketFraming(name, protocol);
        settle(new WebSocketStream(made, framing, endpoint, hostOf(endpoint)));
        return;
      }
      const chosen = protocol === "" ? "no subprotocol" : `the subprotocol ${protocol}`;
      const why = `the server chose ${chosen}; offered were ${offers.join(", ")}`;
      settle(new DialFault(handshakeFault(why)));
      abandon();
    };
  };
  // `done` must not be called within this call.
  queueMicrotask(start);
  return () => {
    isOver = true;
    clearTimeout(timer);
    abandon();
  };
}
