/** WebSockets as byte streams for links. */

import { Duplex } from "node:stream";
import { invalidArgument } from "../core/arguments.js";
import { isBytes, isMemory } from "../core/bytes.js";
import { InvalidArgumentError, ProtocolError, TransportError } from "../core/errors.js";
import { failWrite } from "./channel.js";

/** Unread bytes of a WebSocket, which has no backpressure, as before the handshake. */
const MAX_UNREAD = 1_048_576;

// biome-ignore lint/suspicious/noExplicitAny: each implementation has its own event types
type Listener = (event: any) => void;

export interface WebSocketLike {
  binaryType: string;
  readonly readyState: number;
  readonly bufferedAmount: number;
  send(data: Uint8Array): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: string, listener: Listener): void;
  removeEventListener(type: string, listener: Listener): void;
}

type Callback = (error?: Error | null) => void;

const OPEN = 1;

/**
 * Makes a byte stream of a WebSocket, for `openLink`. Text messages, or more than 1,048,576 unread bytes, end it.
 *
 * @param webSocket open or connecting
 * @throws InvalidArgumentError `EINVAL`, also for a closed WebSocket
 */
export function webSocketStream(webSocket: WebSocketLike): Duplex {
  if (typeof webSocket?.addEventListener !== "function" || typeof webSocket.send !== "function")
    throw invalidArgument("webSocketStream must be given a WebSocket", webSocket);
  if (webSocket.readyState > OPEN) throw new InvalidArgumentError("The WebSocket is closed");
  return new WebSocketStream(webSocket);
}

class WebSocketStream extends Duplex {
  readonly #webSocket: WebSocketLike;
  #timer: NodeJS.Timeout | undefined;
  #callback: Callback | undefined;
  #ended = false;

  constructor(webSocket: WebSocketLike) {
    super();
    this.#webSocket = webSocket;
    webSocket.binaryType = "arraybuffer";
    webSocket.addEventListener("message", this.#onMessage);
    webSocket.addEventListener("close", this.#onClose);
    webSocket.addEventListener("error", this.#onError);
  }

  override _construct(callback: Callback): void {
    if (this.#webSocket.readyState === OPEN) callback();
    else {
      const onOpen = (): void => {
        this.#webSocket.removeEventListener("open", onOpen);
        this.#failConstruction = undefined;
        callback();
      };
      this.#webSocket.addEventListener("open", onOpen);
      // Its constructor destroys a stream before its construction.
      this.#failConstruction = callback;
    }
  }

  #failConstruction: Callback | undefined;

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    try {
      // A closing WebSocket discards data; a link reports the end that follows.
      if (this.#webSocket.readyState === OPEN) this.#webSocket.send(chunk);
    } catch (cause) {
      callback(new TransportError("ERR_TRANSPORT", "The WebSocket failed", { cause }));
      return;
    }
    this.#whenSent(callback);
  }

  override _writev(chunks: { readonly chunk: Buffer }[], callback: Callback): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), "binary", callback);
  }

  #whenSent(callback: Callback): void {
    this.#callback = undefined;
    if (this.#webSocket.bufferedAmount <= 262_144 || this.#webSocket.readyState !== OPEN) {
      callback();
      return;
    }
    this.#callback = callback;
    // No event tells.
    this.#timer = setTimeout(() => this.#whenSent(callback), 5);
  }

  override _final(callback: Callback): void {
    this.#webSocket.close(1_000);
    callback();
  }

  override _destroy(error: Error | null, callback: Callback): void {
    clearTimeout(this.#timer);
    this.#webSocket.removeEventListener("message", this.#onMessage);
    if (this.#webSocket.readyState <= OPEN) this.#webSocket.close(1_000);
    failWrite(this.#callback, error, "The stream");
    callback(error);
  }

  readonly #onMessage = ({ data }: { readonly data: unknown }): void => {
    if (this.destroyed) return;
    if (isMemory(data)) this.push(Buffer.from(data));
    else if (isBytes(data)) this.push(Buffer.from(data.buffer, data.byteOffset, data.byteLength));
    else this.destroy(new ProtocolError("A link's WebSocket accepts only binary messages"));
    // A link reads everything, and its windows bound unread data.
    if (this.readableLength > MAX_UNREAD)
      this.destroy(
        new ProtocolError(`More than ${MAX_UNREAD} bytes arrived on a WebSocket before its link was ready`),
      );
  };

  readonly #onClose = (): void => {
    if (this.#ended) return;
    this.#ended = true;
    this.#failConstruction?.(new TransportError("ERR_TRANSPORT", "The WebSocket was closed"));
    this.push(null);
  };

  readonly #onError = (): void => {
    this.destroy(new TransportError("ERR_TRANSPORT", "The WebSocket failed"));
  };
}
