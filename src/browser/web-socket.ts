/**
 * `ws://` and `wss://` over the standard `WebSocket`, which can dial but not listen: as the engine's byte stream, with
 * ZMTP's frames in its messages (docs/spec/ws.md).
 *
 *   dial    new WebSocket(url, subprotocols) --open--> done
 *
 *   write --send--> the browser's buffer; past FULL bytes it counts as full, until EASED
 *   message --> the sink
 *      `- paused: held, and the peer gets no new limit; past MAX_HELD the connection ends
 *
 *   stream    a message is a piece of ZMTP's stream, both ways
 *   frames    a message is a flag byte and a frame's body: each written ZMTP frame is sent alone, from the last byte of
 *             its header on, which becomes the flag
 *
 * The interface cannot stop the sender. In the mode "stream" the peer gets a limit; other fast peers are disconnected
 * once too much waits. The interface has no pings, so ZMTP's serve in a stream.
 */
import { isBytes, isMemory } from "../core/bytes.js";
import { NotSupportedError } from "../core/errors.js";
import {
  bodyAt,
  COMMAND,
  commandFrame,
  type FramePiece,
  frameEnd,
  MORE,
  writeHeader,
} from "../engine/frame.js";
import { pingCommand } from "../engine/zmtp/heartbeat.js";
import {
  chosenMechanism,
  type Fault,
  handshakeFault,
  type MechanismName,
  protocolFault,
} from "../engine/zmtp/mechanism/mechanism.js";
import type { ByteStream, Sink, StreamReader } from "../engine/zmtp/transport/reader.js";
import {
  type DecodedFrames,
  DialFault,
  type Framing,
  type Listener,
  type Stream,
  type Transport,
  type TransportOptions,
} from "../engine/zmtp/transport/transport.js";
import {
  browserOffersOf,
  CLOSE_NORMAL,
  END,
  FIRST_LIMIT,
  isStream,
  WS_COMMAND,
  WS_MORE,
} from "../engine/zmtp/ws/zws.js";

/** No close frame came (RFC 6455, Reserved Status Codes). */
const ABNORMAL = 1_006;

/** The part of the interface `WebSocket` (WHATWG, WebSockets) that shoal uses. */
interface StandardWebSocket {
  binaryType: string;
  readonly bufferedAmount: number;
  readonly protocol: string;
  onopen: (() => void) | null;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  onerror: (() => void) | null;
  onclose: ((event: { readonly code: number; readonly reason: string }) => void) | null;
  send(data: Uint8Array | string): void;
  close(code?: number, reason?: string): void;
}

type Constructor = new (url: string, protocols: readonly string[]) => StandardWebSocket;

function standardWebSocket(): Constructor | undefined {
  return (globalThis as { WebSocket?: Constructor }).WebSocket;
}

function noListener(endpoint: string): NotSupportedError {
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
        const host = new URL(endpoint).hostname.replace(/^\[|\]$/g, "");
        settle(new WebSocketStream(made, framing, endpoint, host));
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

// --- Stream ----------------------------------------------------------------------------------------------------------

/** Buffered bytes at which the browser's buffer is full, and accepts more. */
const FULL = 1_048_576;
const EASED = 262_144;
/** ms between polls of a full buffer, for want of an event. */
const LOOK_INTERVAL = 5;
/** Bytes held for a program that does not receive. */
const MAX_HELD = 16_777_216;
/** Bytes added to a held message for its object. */
const HELD_COST = 128;

type Done = (error?: Error | null) => void;

class WebSocketStream implements Stream, ByteStream, StreamReader {
  readonly socket: ByteStream = this;
  readonly reader: StreamReader = this;
  readonly remote: string;
  readonly address: string;
  readonly framing: WebSocketFraming;
  errored: Error | null = null;
  readonly #socket: StandardWebSocket;
  readonly #listeners: { [event: string]: ((argument: never) => void)[] } = {};
  #sink: Sink | undefined = undefined;
  #isFull = false;
  #timer: NodeJS.Timeout | undefined = undefined;
  #waiting: Done[] = [];
  #held: Buffer[] = [];
  #heldBytes = 0;
  #paused = false;
  #ended = false;
  #closed = false;
  #destroyed = false;
  #isOver = false;
  /** Bytes handed to the sink, and the total that the peer may send. */
  #received = 0;
  #limit = FIRST_LIMIT;

  /** @param remote the peer's endpoint @param address its host */
  constructor(socket: StandardWebSocket, framing: WebSocketFraming, remote: string, address: string) {
    this.#socket = socket;
    this.framing = framing;
    this.remote = remote;
    this.address = address;
    socket.onmessage = ({ data }) => this.#socketOnMessage(data);
    // Browsers fire `close` next; Node.js 20 does not.
    socket.onerror = () => setImmediate(() => this.#socketOnClose(ABNORMAL, ""));
    socket.onclose = ({ code, reason }) => this.#socketOnClose(code, reason);
  }

  pending(): number {
    return this.writableLength;
  }

  get writable(): boolean {
    return !this.#ended;
  }

  get writableLength(): number {
    if (!this.#isFull) return 0;
    const { bufferedAmount } = this.#socket;
    return this.#destroyed || bufferedAmount <= EASED ? 0 : bufferedAmount;
  }

  write(bytes: Uint8Array, done?: Done): boolean {
    if (this.#ended) return false;
    this.framing.send(this.#socket, bytes);
    if (this.#socket.bufferedAmount > FULL) this.#isFull = true;
    if (!this.#isFull) {
      done?.();
      return true;
    }
    if (done !== undefined) this.#waiting.push(done);
    this.#timer ??= setTimeout(this.#look, LOOK_INTERVAL).unref();
    return false;
  }

  #look = (): void => {
    this.#timer = undefined;
    if (this.writableLength > 0) {
      this.#timer = setTimeout(this.#look, LOOK_INTERVAL).unref();
      return;
    }
    this.#isFull = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const done of waiting) done(this.errored);
  };

  /** A WebSocket cannot batch messages. */
  cork(): void {}

  uncork(): void {}

  /**
   * Closes after buffered output. The browser drops messages in flight at `close`, so a peer that supports END is asked
   * to close instead.
   */
  end(last?: Uint8Array | (() => void)): this {
    if (isBytes(last)) this.write(last);
    else if (last !== undefined) this.on("close", last);
    if (this.#ended) return this;
    this.#ended = true;
    if (this.framing.asksForEnd) this.#socket.send(END);
    else this.#close();
    return this;
  }

  destroy(error?: Error): this {
    if (this.#destroyed) return this;
    this.#destroyed = true;
    clearTimeout(this.#timer);
    this.#held.length = 0;
    this.#socket.onmessage = null;
    this.#socket.onclose = null;
    this.#close();
    // Node's streams also do so later.
    queueMicrotask(() => this.#end(error));
    return this;
  }

  #close(): void {
    this.#ended = true;
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close(CLOSE_NORMAL);
  }

  start(_: ByteStream, sink: Sink): void {
    this.#sink = sink;
  }

  pause(): this {
    this.#paused = true;
    return this;
  }

  resume(): this {
    if (!this.#paused) return this;
    this.#paused = false;
    // The caller is taking a message.
    queueMicrotask(this.#handOver);
    return this;
  }

  on(event: string, listener: (argument: never) => void): this {
    this.#listeners[event] ??= [];
    this.#listeners[event].push(listener);
    return this;
  }

  #emit(event: string, argument?: unknown): void {
    for (const listener of this.#listeners[event] ?? []) listener(argument as never);
  }

  #socketOnMessage(data: unknown): void {
    if (!isMemory(data)) {
      this.framing.refuse("a text message");
      this.#give(Buffer.alloc(0));
      return;
    }
    const bytes = Buffer.from(data);
    if (!this.#paused && this.#heldBytes === 0) {
      this.#give(bytes);
      return;
    }
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    if (this.#heldBytes + HELD_COST * this.#held.length <= MAX_HELD) return;
    const error = new Error(
      `${this.#heldBytes} bytes wait for a program that does not receive them: a browser cannot stop the sender of a WebSocket`,
    );
    this.errored = error;
    this.destroy(error);
  }

  /** Held messages precede the peer's regular end. */
  #handOver = (): void => {
    while (!this.#paused) {
      const bytes = this.#held.shift();
      if (bytes === undefined) {
        this.#raiseLimit();
        if (this.#isOver) this.#end();
        return;
      }
      this.#heldBytes -= bytes.length;
      this.#give(bytes);
    }
  };

  #give(bytes: Buffer): void {
    this.#received += bytes.length;
    this.#sink?.sinkOnBytes(bytes, bytes.length, true);
    this.#raiseLimit();
  }

  /** Raises the limit to FIRST_LIMIT bytes beyond those handed over. */
  #raiseLimit(): void {
    if (!this.framing.stream || this.#ended) return;
    const limit = this.#received + FIRST_LIMIT;
    if (limit - this.#limit < FIRST_LIMIT / 4) return;
    this.#limit = limit;
    this.#socket.send(String(limit));
  }

  #socketOnClose(code: number, reason: string): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#ended = true;
    clearTimeout(this.#timer);
    if (code === 1_000 || code === 1_005) {
      this.#isOver = true;
      this.#handOver();
      return;
    }
    const why = reason === "" ? "" : `: ${reason}`;
    this.errored = new Error(`the WebSocket was closed with ${code}${why}`);
    this.#end(this.errored);
  }

  #end(error?: Error): void {
    this.#isOver = false;
    this.#held = [];
    this.#heldBytes = 0;
    if (error !== undefined) this.#emit("error", error);
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.sinkOnEnd();
    this.#emit("close");
  }
}

// --- Framing ---------------------------------------------------------------------------------------------------------

/** Bytes shared by writes; larger ones allocate. */
const SCRATCH_BYTES = 65_536;
/** Header bytes with the flag. */
const MAX_HEADER = 9;

const NOTHING = Buffer.alloc(0);

let scratch: Uint8Array | undefined;

/** A WebSocket copies the memory within `send`. */
function scratchOf(size: number): Uint8Array {
  if (size > SCRATCH_BYTES) return new Uint8Array(size);
  scratch ??= new Uint8Array(SCRATCH_BYTES);
  return scratch;
}

/** ZMTP frames over the interface `WebSocket`, which exposes messages only. */
class WebSocketFraming implements Framing {
  readonly mechanism: MechanismName;
  readonly stream: boolean;
  readonly bare: boolean;
  readonly closed = false;
  /** Whether the peer answers ZMTP's PING. */
  readonly pings: boolean;
  fault: Fault | undefined = undefined;
  /** Whether to ask the peer to close after its last message. */
  asksForEnd: boolean;

  /** @param protocol the negotiated one */
  constructor(mechanism: MechanismName, protocol: string) {
    this.mechanism = mechanism;
    this.stream = isStream(protocol);
    this.bare = !this.stream;
    this.pings = this.stream;
    this.asksForEnd = this.stream;
  }

  /** @returns in the mode "frames" a copy, which `send` overwrites, since other peers may share the pieces */
  encode(pieces: readonly FramePiece[]): Uint8Array {
    const [only] = pieces;
    if (this.stream && pieces.length === 1 && only !== undefined)
      return only.bytes.subarray(only.start, only.end);
    let size = 0;
    for (const { start, end } of pieces) size += end - start;
    const bytes = scratchOf(size);
    let at = 0;
    for (const { bytes: from, start, end } of pieces) {
      bytes.set(from.subarray(start, end), at);
      at += end - start;
    }
    return bytes.subarray(0, at);
  }

  send(socket: StandardWebSocket, bytes: Uint8Array): void {
    if (this.stream) {
      if (bytes.length > 0) socket.send(bytes);
      return;
    }
    for (let at = 0; at < bytes.length; ) {
      const flags = bytes[at] as number;
      const start = bodyAt(bytes, at) - 1;
      at = frameEnd(bytes, at);
      bytes[start] = (flags & COMMAND) !== 0 ? WS_COMMAND : (flags & MORE) !== 0 ? WS_MORE : 0;
      socket.send(bytes.subarray(start, at));
    }
  }

  release(): void {}

  /** @param bytes one message */
  decode(bytes: Uint8Array, length: number): DecodedFrames {
    if (this.stream || this.fault !== undefined)
      return {
        bytes: bytes as Buffer,
        length: this.fault === undefined ? length : 0,
        pooled: undefined,
        kept: true,
      };
    const flags = bytes[0];
    if (flags === undefined || flags > WS_COMMAND) {
      this.refuse(flags === undefined ? "a message without flags" : "reserved bits in a frame's flags");
      return { bytes: NOTHING, length: 0, pooled: undefined };
    }
    const frame = Buffer.allocUnsafe(length - 1 + MAX_HEADER);
    const zmtp = flags === WS_COMMAND ? COMMAND : flags === WS_MORE ? MORE : 0;
    const at = writeHeader(frame, 0, zmtp, length - 1);
    frame.set(bytes.subarray(1, length), at);
    return { bytes: frame, length: at + length - 1, pooled: undefined, kept: true };
  }

  /** Later input is ignored. */
  refuse(what: string): void {
    this.fault ??= protocolFault("ERR_ZMTP_UNSPECIFIED", `the peer sent ${what} (45/ZWS, Framing)`);
  }

  takeReply(): undefined {}

  ping(): Uint8Array {
    return commandFrame(pingCommand(0));
  }

  closeFrame(isRegular: boolean): Uint8Array {
    this.asksForEnd &&= isRegular;
    return NOTHING;
  }
}
