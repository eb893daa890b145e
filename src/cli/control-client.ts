/** The requesting side of a control socket. */
import { jsonOf } from "../control/server.js";
import { Request, TransportError } from "../index.js";
import { asUsage, describe, Failure, UsageError } from "./failure.js";
import type { SecurityOptions } from "./security.js";

const MAX_REPLY = 16_777_216;
/** Characters of an invalid reply in its error. */
const MAX_SHOWN = 60;

export interface ControlRequestOptions {
  /** ms */
  readonly timeout: number;
  readonly signal: AbortSignal;
}

export class ControlClient {
  readonly #socket: Request;
  #connection = new AbortController();

  private constructor(endpoint: string, security: SecurityOptions) {
    this.#socket = new Request({
      ...security,
      linger: 0,
      maxMessageSize: MAX_REPLY,
      reconnectInterval: 100,
      reconnectMaxInterval: 1_000,
    });
    this.#socket.events.on("connect:retry", ({ error }) => {
      if (error instanceof TransportError) this.#end(describe(error));
    });
    this.#socket.events.on("peer:leave", () => this.#end(`the connection to ${endpoint} has ended`));
  }

  /** Fails pending requests: the connection failed or ended. */
  #end(why: string): void {
    const ended = this.#connection;
    this.#connection = new AbortController();
    // Replies received before the end settle first.
    setImmediate(() => ended.abort(new Failure(why)));
  }

  /** Aborted when the current or next connection ends; the reason is a Failure. */
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
   * @returns the reply as text
   * @throws TimeoutError `ETIMEDOUT`, AbortedError; Failure for a lost connection
   */
  async ask(command: object, { timeout, signal }: ControlRequestOptions): Promise<string> {
    const { connection } = this;
    try {
      const options = { timeout, signal: AbortSignal.any([signal, connection]) };
      const frames = await this.#socket.request(JSON.stringify(command), options);
      return String(frames[0] ?? "");
    } catch (error) {
      if (connection.aborted && !signal.aborted) throw connection.reason;
      throw error;
    }
  }

  /** @throws as {@link ask}; UsageError for an error reply `EINVAL`, Failure for other errors and invalid replies */
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

/** @returns `undefined` for anything but an object */
export function replyOf(text: string): Readonly<Record<string, unknown>> | undefined {
  const value = jsonOf(text);
  return typeof value === "object" && value !== null ? { ...value } : undefined;
}
