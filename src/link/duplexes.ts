/** Other carriers of a link as duplex streams: a WebSocket, and a MessagePort. Both carry pieces of bytes; their borders mean nothing. */

import { Duplex } from "node:stream";
import { describe } from "../core/arguments.js";
import { isBytes, isMemory } from "../core/bytes.js";
import { InvalidArgumentError, ProtocolError, TransportError } from "../core/errors.js";
import { failWrite } from "./channel.js";

/** Bytes that a WebSocket has not sent, beyond which writes wait; and ms between two looks at them: it has no event for it. */
const MAX_BUFFERED = 262_144;
const LOOK_INTERVAL = 5;
/** Bytes that came on a WebSocket and nobody has read yet, as before the handshake: a WebSocket cannot be asked to wait. */
const MAX_UNREAD = 1_048_576;
/** Bytes that the other end of a port did not acknowledge, beyond which writes wait. */
const PORT_WINDOW = 1_048_576;

// biome-ignore lint/suspicious/noExplicitAny: each carrier has event types of its own
type Listener = (event: any) => void;

/** What of the standard `WebSocket` a link uses; the package `ws` has it, too. */
export interface WebSocketLike {
  binaryType: string;
  readonly readyState: number;
  readonly bufferedAmount: number;
  send(data: Uint8Array): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: string, listener: Listener): void;
  removeEventListener(type: string, listener: Listener): void;
}

/** What of a `MessagePort` a link uses: a thread's, a browser's, a worker's `parentPort`. */
export interface PortLike {
  postMessage(value: unknown): void;
  close?(): void;
  start?(): void;
  ref?(): void;
  unref?(): void;
  addEventListener?(type: string, listener: Listener): void;
  on?(type: string, listener: Listener): unknown;
}

type Callback = (error?: Error | null) => void;

const OPEN = 1;

/**
 * A WebSocket as a stream of bytes, for `commence`. Messages are binary; a text ends it, and so do more than 1,048,576 bytes that are not
 * read.
 *
 * @param webSocket open, or about to be
 * @throws InvalidArgumentError `EINVAL` for what is no WebSocket, or is closed
 */
export function webSocketStream(webSocket: WebSocketLike): Duplex {
  if (typeof webSocket?.addEventListener !== "function" || typeof webSocket.send !== "function")
    throw new InvalidArgumentError(`webSocketStream takes a WebSocket; got ${describe(webSocket)}`);
  if (webSocket.readyState > OPEN) throw new InvalidArgumentError("The WebSocket is closed");
  return new WebSocketStream(webSocket);
}

class WebSocketStream extends Duplex {
  readonly #webSocket: WebSocketLike;
  #timer: NodeJS.Timeout | undefined;
  /** Of the write that waits until the WebSocket has sent enough. */
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
      // A stream that is not constructed is destroyed through its constructor.
      this.#failConstruction = callback;
    }
  }

  #failConstruction: Callback | undefined;

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    // One that closes discards what is sent, and its end follows: a link that was not over reports that.
    if (this.#webSocket.readyState === OPEN) this.#webSocket.send(chunk);
    this.#whenSent(callback);
  }

  override _writev(chunks: { readonly chunk: Buffer }[], callback: Callback): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), "binary", callback);
  }

  #whenSent(callback: Callback): void {
    this.#callback = undefined;
    if (this.#webSocket.bufferedAmount <= MAX_BUFFERED || this.#webSocket.readyState !== OPEN) {
      callback();
      return;
    }
    this.#callback = callback;
    this.#timer = setTimeout(() => this.#whenSent(callback), LOOK_INTERVAL);
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
    else this.destroy(new ProtocolError("A WebSocket of a link carries binary messages only"));
    // A link reads all at once, and its windows bound what its program has not read.
    if (this.readableLength > MAX_UNREAD)
      this.destroy(
        new ProtocolError(`More than ${MAX_UNREAD} bytes came on a WebSocket before its link was there`),
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

/**
 * A MessagePort as a stream of bytes, for `commence`: between threads, or a page and its worker. Both ends are such streams. Each piece is
 * acknowledged, so a port whose other end does not read holds 1 MiB at most.
 *
 * @param port of a `MessageChannel`, or a thread's `parentPort`, which gets nothing else
 * @throws InvalidArgumentError `EINVAL` for what is no port
 */
export function portStream(port: PortLike): Duplex {
  if (typeof port?.postMessage !== "function" || (port.on ?? port.addEventListener) === undefined)
    throw new InvalidArgumentError(`portStream takes a MessagePort; got ${describe(port)}`);
  return new PortStream(port);
}

class PortStream extends Duplex {
  readonly #port: PortLike;
  #unacknowledged = 0;
  #callback: Callback | undefined;
  #taken = 0;
  #isReading = false;
  readonly #waiting: Buffer[] = [];
  #hasEnded = false;

  constructor(port: PortLike) {
    super();
    this.#port = port;
    if (port.on !== undefined) {
      port.on("message", this.#onMessage);
      port.on("close", this.#onClose);
    } else {
      port.addEventListener?.("message", ({ data }: { readonly data: unknown }) => this.#onMessage(data));
      port.addEventListener?.("close", this.#onClose);
      port.start?.();
    }
  }

  override _read(): void {
    this.#isReading = true;
    this.#deliver();
  }

  #deliver(): void {
    while (this.#isReading) {
      const bytes = this.#waiting.shift();
      if (bytes === undefined) break;
      this.#taken += bytes.length;
      this.#isReading = this.push(bytes);
    }
    if (this.#taken > 0 && !this.destroyed) {
      this.#port.postMessage(this.#taken);
      this.#taken = 0;
    }
    if (this.#hasEnded && this.#waiting.length === 0) this.push(null);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    // A copy of its own: what is posted is cloned with all of the memory that it is a view of.
    const bytes = new Uint8Array(chunk);
    this.#unacknowledged += bytes.length;
    this.#port.postMessage(bytes);
    if (this.#unacknowledged <= PORT_WINDOW) callback();
    else this.#callback = callback;
  }

  override _writev(chunks: { readonly chunk: Buffer }[], callback: Callback): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), "binary", callback);
  }

  override _final(callback: Callback): void {
    this.#port.postMessage(null);
    callback();
  }

  override _destroy(error: Error | null, callback: Callback): void {
    this.#port.close?.();
    failWrite(this.#callback, error, "The stream");
    this.#callback = undefined;
    callback(error);
  }

  readonly #onMessage = (value: unknown): void => {
    if (isBytes(value)) {
      this.#waiting.push(Buffer.from(value.buffer, value.byteOffset, value.byteLength));
      if (this.#isReading) this.#deliver();
    } else if (typeof value === "number" && value > 0 && value <= this.#unacknowledged) {
      this.#unacknowledged -= value;
      if (this.#unacknowledged > PORT_WINDOW || this.#callback === undefined) return;
      const callback = this.#callback;
      this.#callback = undefined;
      callback();
    } else if (value === null) this.#onClose();
    else this.destroy(new ProtocolError("Something else than a link's bytes came on the port"));
  };

  readonly #onClose = (): void => {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    if (this.#isReading) this.#deliver();
  };
}
