/** The side of a control socket that asks: of `shoal top`, and of the commands that steer a running node. */
import { Request, TransportError } from "../index.js";
import { handshakeFault } from "./endpoints.js";
import { asUsage, describe, Failure, UsageError } from "./failure.js";
import type { SecurityOptions } from "./security.js";

/** Maximum bytes of a reply. */
const MAX_REPLY = 16_777_216;
/** Characters of a reply that is not understood which its error shows. */
const MAX_SHOWN = 60;

const HANDSHAKE_FAULTS = [
  "handshake:error:auth",
  "handshake:error:protocol",
  "handshake:error:other",
] as const;

export interface ControlRequestOptions {
  /** ms */
  readonly timeout: number;
  readonly signal: AbortSignal;
}

export class ControlClient {
  readonly #socket: Request;
  /** Why there is no reply, while the cause is known. */
  #cause: string | undefined;
  #connection = new AbortController();

  private constructor(endpoint: string, security: SecurityOptions) {
    this.#socket = new Request({
      ...security,
      linger: 0,
      maxMessageSize: MAX_REPLY,
      reconnectInterval: 100,
      reconnectMaxInterval: 1_000,
    });
    const curve = security.curveServerKey !== undefined;
    for (const type of HANDSHAKE_FAULTS)
      this.#socket.events.on(type, (event) => {
        this.#cause = handshakeFault(event, curve);
      });
    this.#socket.events.on("connect:retry", ({ error }) => {
      if (error instanceof TransportError) this.#end(describe(error));
    });
    this.#socket.events.on("peer:join", () => {
      this.#cause = undefined;
    });
    this.#socket.events.on("peer:leave", () => this.#end(`the connection to ${endpoint} has ended`));
  }

  /** Fails what waits for a reply: there is no connection, or none any more. */
  #end(why: string): void {
    const ended = this.#connection;
    this.#connection = new AbortController();
    // A reply that came before the end is taken first.
    setImmediate(() => ended.abort(new Failure(why)));
  }

  /** Of the connection that stands, or else of the next one: aborted when it has ended, with a Failure as the reason. */
  get connection(): AbortSignal {
    return this.#connection.signal;
  }

  /** @throws UsageError for an invalid endpoint */
  static async open(endpoint: string, security: SecurityOptions): Promise<ControlClient> {
    const client = new ControlClient(endpoint, security);
    try {
      await asUsage(() => client.#socket.connect(endpoint));
    } catch (error) {
      await client.close();
      throw error;
    }
    return client;
  }

  /**
   * The reply to a command, as text.
   *
   * @throws TimeoutError `ETIMEDOUT`, AbortedError; Failure when the handshake fails, or the connection ends before the reply comes
   */
  async ask(command: object, { timeout, signal }: ControlRequestOptions): Promise<string> {
    const { connection } = this;
    try {
      const options = { timeout, signal: AbortSignal.any([signal, connection]) };
      const frames = await this.#socket.request(JSON.stringify(command), options);
      return String(frames[0] ?? "");
    } catch (error) {
      if (this.#cause !== undefined) throw new Failure(this.#cause);
      if (connection.aborted && !signal.aborted) throw connection.reason;
      throw error;
    }
  }

  /**
   * The result of a command.
   *
   * @throws as {@link ask}; UsageError for an error reply `EINVAL`, Failure for any other and for what is not a reply
   */
  async command(command: object, options: ControlRequestOptions): Promise<Readonly<Record<string, unknown>>> {
    const text = await this.ask(command, options);
    const reply = replyOf(text);
    if (reply?.ok === true) return reply;
    const { code, message } = (reply?.error ?? {}) as { readonly code?: unknown; readonly message?: unknown };
    if (typeof message !== "string")
      throw new Failure(`not a control socket: it answered ${text.slice(0, MAX_SHOWN)}`);
    throw code === "EINVAL" ? new UsageError(message) : new Failure(message);
  }

  async close(): Promise<void> {
    await this.#socket.close({ linger: 0 });
  }
}

/** The object of a reply; `undefined` for other text. */
export function replyOf(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : undefined;
  } catch {
    return undefined; // Other text than JSON: the caller shows it, or refuses it.
  }
}
