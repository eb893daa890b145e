/**
 * A DEALER connected to one discovery server.
 *
 *   dialling ──connected──> accepted ──handshake──> asked ──list──> listed
 *      └────────────────────────┴──────────────────────┴─── time, failure ──> ended
 *
 * A server that accepts a connection may be busy, such as when thousands of clients fail over, so it has
 * `handshakeTimeout` for the handshake, and the longest time for its list.
 */
import { ProtocolError, type ShoalError } from "../../core/errors.js";
import { listen } from "../../sockets/internal.js";
import type { Dealer } from "../../sockets/request-reply.js";
import type { DiscoveredNode } from "./directory.js";
import { type NodeList, parseList } from "./protocol.js";

/** ms, unless `attemptTimeout` is longer. */
export const LONGEST_ATTEMPT = 8_000;

/** Why a client is not, or no longer, connected to a node. */
export type NodeLossReason =
  /** The connection ended, or the node fell silent. */
  | "disconnected"
  /** No list within the option `attemptTimeout`. */
  | "timeout"
  /** The server refused the credentials. */
  | "refused"
  /** The address or the answer was malformed, or the server reported an error. */
  | "invalid";

export interface NodeConnectionOptions {
  readonly endpoint: string;
  /** ms to connect. */
  readonly attemptTimeout: number;
  /** ms to finish the handshake. */
  readonly handshakeTimeout: number;
  /** Members of each request next to its command. */
  readonly request: object;
  makeSocket(): Dealer;
  onList(nodes: readonly DiscoveredNode[]): void;
}

export class NodeConnection {
  /** Id of the server's node; "" before the list. */
  node = "";
  /** The server's system has accepted the connection. */
  isAccepted = false;
  error: ShoalError | undefined;
  /** Settles with the first list, or with the reason of an end before it. */
  readonly listed: Promise<NodeLossReason | "moved" | undefined>;
  readonly ended: Promise<NodeLossReason | "moved">;
  /** Settles when the socket has closed. */
  readonly closed: Promise<unknown>;
  readonly #options: NodeConnectionOptions;
  #socket: Dealer | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isEnded = false;
  #onEnd: (reason: NodeLossReason | "moved") => void = () => undefined;
  #onListed: (none: undefined) => void = () => undefined;

  constructor(options: NodeConnectionOptions) {
    this.#options = options;
    this.ended = new Promise((resolve) => {
      this.#onEnd = resolve;
    });
    const listed = new Promise<undefined>((resolve) => {
      this.#onListed = resolve;
    });
    this.listed = Promise.race([listed, this.ended]);
    // The end is reported.
    this.closed = this.ended.then(() => this.#socket?.close({ linger: 0 }).catch(() => undefined));
    this.#limit(options.attemptTimeout);
    this.#open();
  }

  get endpoint(): string {
    return this.#options.endpoint;
  }

  /** Asks for the list: `watch` once, then `nodes`. */
  ask(command: "nodes" | "watch"): void {
    this.#socket?.trySend(JSON.stringify({ command, ...this.#options.request }));
  }

  /** Repeated calls do nothing. */
  end(reason: NodeLossReason | "moved"): void {
    this.#isEnded = true;
    clearTimeout(this.#timer);
    this.#onEnd(reason);
  }

  #open(): void {
    const { endpoint, attemptTimeout, handshakeTimeout, makeSocket } = this.#options;
    try {
      const socket = makeSocket();
      this.#socket = socket;
      listen(socket, (event) => {
        if ("error" in event && event.error !== undefined) this.error = event.error;
        if (event.type === "connect") {
          this.isAccepted = true;
          this.#limit(handshakeTimeout);
        } else if (event.type === "peer:join") {
          this.ask("watch");
          this.#limit(Math.max(attemptTimeout, LONGEST_ATTEMPT));
        } else if (event.type === "handshake:error:auth") this.#endSoon("refused");
        else if (event.type === "peer:leave" || event.type === "connect:retry") this.#endSoon("disconnected");
      });
      socket.connect(endpoint);
      void this.#read(socket);
    } catch (error) {
      // The endpoint is invalid, or the context has no socket left.
      this.error = error as ShoalError;
      this.end("invalid");
    }
  }

  async #read(socket: Dealer): Promise<void> {
    try {
      for await (const frames of socket as AsyncIterable<Buffer[]>) this.#onList(parseList(frames));
    } catch (error) {
      if (socket.closed) return;
      if (!(error instanceof ProtocolError)) throw error;
      this.error = error;
      this.end("invalid");
    }
  }

  #onList({ node, nodes }: NodeList): void {
    if (this.#isEnded) return;
    clearTimeout(this.#timer);
    this.node = node;
    this.#options.onList(nodes);
    this.#onListed(undefined);
  }

  #limit(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.end("timeout"), ms);
  }

  /** Outside of the socket's call, which may report an error next. */
  #endSoon(reason: NodeLossReason): void {
    setImmediate(() => this.end(reason));
  }
}
