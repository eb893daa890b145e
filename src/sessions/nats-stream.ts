/**
 * A stream of JetStream: publishes to it, and reads it in order. Of the client only the part that is used is named, so that the types do not need the
 * package; what JetStream is asked are its documented subjects, `$JS.API.…`.
 *
 * It is read by a consumer that the server pushes from. The consumer is made again, from the message that was read last, where one of its messages is missing, where it shows
 * no sign of life, where the connection was made again, and where who reads asks for it.
 *
 *   connected ──lost, or no leader answers for long──> connecting, to one server after the other ──> connected
 *
 * What was requested and not answered when a connection ends is over at once, and nothing is requested until there is another: the client would drop it.
 */
import { loadOptional } from "../core/optional-package.js";
import { StoreError } from "../patterns/kit/store/error.js";
import {
  CONNECT_TIMEOUT,
  CONNECTION_PING,
  CONNECTION_SILENCE,
  STREAM_BACK_OFF,
  STREAM_HEARTBEAT,
  STREAM_PIECE_BYTES,
  STREAM_SILENCE,
} from "./bounds.js";
import { HEADER_BYTES } from "./nats-messages.js";

export const NATS_PACKAGE = "@nats-io/transport-node";

interface NatsHeaders {
  readonly code: number;
  get(name: string): string;
}

interface NatsMessage {
  readonly data: Uint8Array;
  readonly reply?: string;
  readonly headers?: NatsHeaders;
}

interface NatsSubscription {
  unsubscribe(): void;
}

interface NatsStatus {
  readonly type: string;
  readonly server?: string;
  readonly error?: unknown;
}

interface NatsConnection {
  readonly info?: { readonly max_payload: number; readonly cluster?: string };
  publish(subject: string, payload?: Uint8Array): void;
  request(
    subject: string,
    payload: Uint8Array | string,
    options: { readonly timeout: number },
  ): Promise<NatsMessage>;
  subscribe(
    subject: string,
    options: { readonly callback: (error: unknown, message: NatsMessage) => void },
  ): NatsSubscription;
  status(): AsyncIterable<NatsStatus>;
  /** `HOST:PORT` */
  getServer(): string;
  /** Leaves the server for the next one. */
  reconnect(): Promise<void>;
  close(): Promise<void>;
}

interface NatsClient {
  connect(options: object): Promise<NatsConnection>;
  createInbox(prefix?: string): string;
}

/** What a stream has. */
export interface StreamRange {
  readonly first: number;
  readonly last: number;
  readonly messages: number;
}

export interface StreamSettings {
  readonly stream: string;
  /** Of a stream that is made; 0: three in a cluster, else one. */
  readonly replicas: number;
  /** ms of each request. */
  readonly timeout: number;
}

/** What is known of a message. */
export type Published = "there" | "absent" | "unknown";

export interface StreamReader {
  /** The sequence to read from. */
  next(): number;
  /** Called in order; what it throws ends no connection. */
  message(sequence: number, bytes: Buffer): void;
}

/** JetStream's codes for: no stream of this name; one is there already. */
const NO_STREAM = 10_059;
const NAME_TAKEN = 10_058;
/** Not as many servers are known as the stream has replicas. */
const NO_PEERS = 10_005;
/** JetStream itself, or a stream, has no leader at the moment. */
const UNAVAILABLE: readonly unknown[] = [10_008, 10_009];
/** No memory, no disk, no room left of what the account or the stream may have. */
const FULL: readonly unknown[] = [10_023, 10_028, 10_047, 10_077];
const CONTROL = 100;
const NANOSECONDS = 1_000_000;
/** Of an API call, which reads and writes no messages. */
const CALL_TIMEOUT = 5_000;

/** What a stream has to have to keep what it acknowledged. */
const CONFIGURATION = {
  retention: "limits",
  storage: "file",
  discard: "new",
  max_age: 0,
  max_msgs: -1,
  max_bytes: -1,
  max_msgs_per_subject: -1,
} as const;

export class NatsStream {
  readonly #client: NatsClient;
  readonly #connection: NatsConnection;
  readonly #settings: StreamSettings;
  readonly #inboxPrefix: string | undefined;
  #reader: StreamReader | undefined;
  #subscription: NatsSubscription | undefined;
  /** Of the consumer that is read: its last message, and when there was a sign of life. */
  #delivered = 0;
  #heard = 0;
  #attempts = 0;
  readonly #timer: NodeJS.Timeout;
  #isClosed = false;
  #isConnected = true;
  /** A server that was left since it was silent. */
  #left: string | undefined;
  /** Since when no leader has answered a request; `undefined`: the last one was answered. What a consumer sends does not count: it may be of a server that is cut off. */
  #unanswered: number | undefined;
  /** What ends requests without an answer when the connection does. */
  readonly #requests = new Set<(reason: Error) => void>();
  /** Why the stream is not read, or takes no messages, at the moment. */
  #readFailure: unknown;
  #publishFailure: unknown;

  /**
   * Connects, and makes the stream if it is not there.
   *
   * @param connection options of the client
   * @throws NotSupportedError `ERR_PACKAGE_UNAVAILABLE`; StoreError `failed`
   */
  static async open(settings: StreamSettings, connection: object): Promise<NatsStream> {
    const client = loadOptional(NATS_PACKAGE, "A store of sessions in NATS JetStream") as NatsClient;
    const until = performance.now() + settings.timeout;
    const connect = (): Promise<NatsConnection> =>
      client.connect({
        name: "shoal sessions",
        // Of one server, then the next is tried.
        timeout: Math.min(settings.timeout, CONNECT_TIMEOUT),
        // A server that is away comes back, and credentials are renewed: the store's own time-outs end what waits for it.
        maxReconnectAttempts: -1,
        reconnectTimeWait: 250,
        ignoreAuthErrorAbort: true,
        pingInterval: CONNECTION_PING,
        ...connection,
      });
    let connected: NatsConnection | undefined;
    while (connected === undefined) {
      try {
        connected = await connect();
      } catch (cause) {
        // Nobody answered; a refusal is an answer.
        const isPassing = (cause as Error | null)?.name === "TimeoutError" && performance.now() < until;
        if (!isPassing) throw new StoreError("failed", "No NATS server could be connected to", { cause });
      }
    }
    const { inboxPrefix } = connection as { readonly inboxPrefix?: string };
    const stream = new NatsStream(client, connected, settings, inboxPrefix);
    try {
      await stream.#ensure();
    } catch (error) {
      await stream.close();
      throw error;
    }
    return stream;
  }

  private constructor(
    client: NatsClient,
    connection: NatsConnection,
    settings: StreamSettings,
    inboxPrefix: string | undefined,
  ) {
    this.#inboxPrefix = inboxPrefix;
    this.#client = client;
    this.#connection = connection;
    this.#settings = settings;
    this.#timer = setInterval(this.#watch, STREAM_HEARTBEAT);
    this.#timer.unref();
    const ended = (): void => this.#onDisconnected("The NATS client has closed the connection");
    this.#follow().then(ended, ended);
  }

  /** Why the stream is not read, or takes no messages, at the moment; `undefined` while it does. */
  get failure(): unknown {
    return this.#readFailure ?? (this.#isConnected ? this.#publishFailure : undefined);
  }

  /** Bytes of a message's body, at most. */
  get pieceBytes(): number {
    const most = this.#connection.info?.max_payload ?? STREAM_PIECE_BYTES;
    return Math.max(1, Math.min(STREAM_PIECE_BYTES, most - HEADER_BYTES));
  }

  /**
   * Settles when the stream's quorum has the message.
   *
   * @returns whether it is there; "unknown" where no answer came
   * @throws StoreError `full` or `failed`: it is not there
   */
  async publish(message: Buffer, timeout: number): Promise<Published> {
    let reply: NatsMessage;
    try {
      reply = await this.#request(this.#settings.stream, message, timeout);
    } catch (cause) {
      if (cause instanceof NotSent) return "absent";
      const isAbsent = isLeaderless(cause);
      this.#publishFailure = isAbsent ? new Error("The stream has no leader", { cause }) : cause;
      if (isAbsent) return "absent";
      if (isUnanswered(cause)) return "unknown";
      throw failed("The NATS client refused a message", cause);
    }
    this.#publishFailure = undefined;
    this.#unanswered = undefined;
    const { error } = parse(reply) as { error?: ApiError };
    if (error !== undefined) throw refused(error);
    return "there";
  }

  /** @throws StoreError */
  async range(): Promise<StreamRange> {
    const { state } = await this.#call<{ state: { first_seq: number; last_seq: number; messages: number } }>(
      `STREAM.INFO.${this.#settings.stream}`,
      {},
    );
    return { first: state.first_seq, last: state.last_seq, messages: state.messages };
  }

  /** Removes messages up to this one. @throws StoreError */
  async purge(last: number): Promise<void> {
    await this.#call(`STREAM.PURGE.${this.#settings.stream}`, { seq: last + 1 });
  }

  /** Reads from now on. */
  read(reader: StreamReader): void {
    this.#reader = reader;
    this.readAgain();
  }

  /** Makes another consumer, which begins where the reader has to. */
  readAgain(): void {
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
    this.#attempts += 1;
    if (this.#isClosed || !this.#isConnected) return;
    const attempt = this.#attempts;
    const inbox = this.#client.createInbox(this.#inboxPrefix);
    this.#delivered = 0;
    this.#heard = performance.now();
    // One that belongs to an earlier consumer may still be in the client's buffer.
    const callback = (error: unknown, message: NatsMessage): void => {
      if (attempt !== this.#attempts || this.#isClosed) return;
      if (error === null || error === undefined) this.#onMessage(message);
      else this.#readFailure = error;
    };
    this.#subscription = this.#connection.subscribe(inbox, { callback });
    this.#makeConsumer(inbox).then(
      () => {
        if (attempt === this.#attempts) this.#readFailure = undefined;
      },
      (error: unknown) => {
        if (attempt !== this.#attempts || this.#isClosed) return;
        this.#readFailure = error;
        setTimeout(() => {
          if (attempt === this.#attempts) this.readAgain();
        }, STREAM_BACK_OFF);
      },
    );
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#subscription?.unsubscribe();
    await this.#connection.close();
  }

  async #ensure(): Promise<void> {
    const { stream, timeout } = this.#settings;
    const until = performance.now() + timeout;
    for (;;) {
      const found = await this.#configuration(until);
      if (found !== undefined) {
        this.#check(found);
        return;
      }
      const replicas = this.#settings.replicas || (this.#connection.info?.cluster === undefined ? 1 : 3);
      const config = { name: stream, subjects: [stream], num_replicas: replicas, deny_delete: true };
      try {
        await this.#call(`STREAM.CREATE.${stream}`, { ...config, ...CONFIGURATION });
      } catch (error) {
        // Another server was faster, or its answer was lost; or the cluster has just begun.
        const isPassing = [NAME_TAKEN, NO_PEERS].includes(codeOf(error) as number) || isTransient(error);
        if (!isPassing || performance.now() > until) throw error;
        await pause();
      }
      if (performance.now() > until)
        throw failed(`The stream ${stream} was not made within ${timeout} ms`, undefined);
    }
  }

  /** @returns that of the stream; `undefined` where there is none @throws StoreError */
  async #configuration(until: number): Promise<Record<string, unknown> | undefined> {
    for (;;) {
      try {
        const { stream } = this.#settings;
        return (await this.#call<{ config: Record<string, unknown> }>(`STREAM.INFO.${stream}`, {})).config;
      } catch (error) {
        if (codeOf(error) === NO_STREAM) return undefined;
        // A cluster that has just begun has no leader yet.
        if (!isTransient(error) || performance.now() > until) throw error;
      }
      await pause();
    }
  }

  #check(config: Record<string, unknown>): void {
    const { stream } = this.#settings;
    for (const [name, wanted] of Object.entries(CONFIGURATION)) {
      const found = config[name] ?? (typeof wanted === "number" ? wanted : undefined);
      const isUnlimited = typeof wanted === "number" && typeof found === "number" && found <= 0;
      if (found !== wanted && !isUnlimited)
        throw failed(
          `The stream ${stream} is not one of sessions: ${name} is ${found}, not ${wanted}`,
          undefined,
        );
    }
    if (config.deny_purge === true)
      throw failed(
        `The stream ${stream} is not one of sessions: it lets nobody purge it (deny_purge)`,
        undefined,
      );
    const subjects = config.subjects;
    if (!Array.isArray(subjects) || subjects.length !== 1 || subjects[0] !== stream)
      throw failed(`The stream ${stream} is not one of sessions: its subjects are ${subjects}`, undefined);
  }

  async #makeConsumer(inbox: string): Promise<void> {
    const { stream } = this.#settings;
    await this.#call(`CONSUMER.CREATE.${stream}`, {
      stream_name: stream,
      config: {
        deliver_subject: inbox,
        deliver_policy: "by_start_sequence",
        opt_start_seq: this.#reader?.next(),
        ack_policy: "none",
        max_deliver: 1,
        replay_policy: "instant",
        flow_control: true,
        idle_heartbeat: STREAM_HEARTBEAT * NANOSECONDS,
        inactive_threshold: 30_000 * NANOSECONDS,
        num_replicas: 1,
        mem_storage: true,
      },
    });
  }

  #onMessage(message: NatsMessage): void {
    this.#heard = performance.now();
    const { headers, reply = "" } = message;
    if (headers !== undefined && headers.code >= CONTROL) {
      this.#onControl(headers, reply);
      return;
    }
    const tokens = reply.split(".");
    // $JS.ACK.STREAM.CONSUMER.DELIVERIES.SEQUENCE.DELIVERED.TIME.PENDING, or with a domain and an account after ACK.
    const at = tokens.length < 11 ? 5 : 7;
    const [sequence, delivered] = [Number(tokens[at]), Number(tokens[at + 1])];
    if (tokens[1] !== "ACK" || !Number.isSafeInteger(sequence) || delivered !== this.#delivered + 1) {
      this.readAgain();
      return;
    }
    this.#delivered = delivered;
    this.#reader?.message(
      sequence,
      Buffer.from(message.data.buffer, message.data.byteOffset, message.data.length),
    );
  }

  #onControl(headers: NatsHeaders, reply: string): void {
    // 409 and 404: the consumer is gone.
    if (headers.code !== CONTROL) {
      this.readAgain();
      return;
    }
    // Flow control: the server waits for this reply, which says that all before it was read.
    if (reply !== "") this.#connection.publish(reply);
    const stalled = headers.get("Nats-Consumer-Stalled");
    if (stalled !== "") this.#connection.publish(stalled);
    const last = headers.get("Nats-Last-Consumer");
    if (last !== "" && Number(last) !== this.#delivered) this.readAgain();
  }

  #watch = (): void => {
    if (!this.#isConnected) return;
    const now = performance.now();
    if (now - (this.#unanswered ?? now) > CONNECTION_SILENCE) {
      // This server may be cut off from the others: they may have a leader.
      this.#unanswered = now;
      this.#left = this.#connection.getServer();
      void this.#connection.reconnect();
    } else if (this.#reader !== undefined && now - this.#heard > STREAM_SILENCE) this.readAgain();
  };

  /** Until the connection is closed. */
  async #follow(): Promise<void> {
    for await (const { type, server, error } of this.#connection.status()) {
      if (type === "disconnect") this.#onDisconnected(`The connection to the NATS server ${server} was lost`);
      else if (type === "reconnect") this.#onReconnected(server);
      else if (type === "error" && !this.#isConnected) this.#readFailure = error;
    }
  }

  #onReconnected(server: string | undefined): void {
    const isLeft = server !== undefined && server === this.#left;
    this.#left = undefined;
    // The client takes the server that it began with twice, then one after the other.
    if (isLeft) void this.#connection.reconnect();
    this.#isConnected = true;
    this.#unanswered = undefined;
    if (this.#reader !== undefined) this.readAgain();
  }

  #onDisconnected(message: string): void {
    if (this.#isClosed) return;
    this.#isConnected = false;
    // What fails with the connection is not the reason.
    this.#attempts += 1;
    this.#readFailure = new Error(message);
    for (const end of this.#requests) end(new Error(message));
  }

  /** @throws NotSent, or as the client's `request`; an Error when the connection ends before the answer */
  #request(subject: string, payload: Uint8Array | string, timeout: number): Promise<NatsMessage> {
    if (!this.#isConnected) return Promise.reject(new NotSent("There is no connection to a NATS server"));
    this.#unanswered ??= performance.now();
    return new Promise((resolve, reject) => {
      this.#requests.add(reject);
      this.#connection
        .request(subject, payload, { timeout })
        .finally(() => this.#requests.delete(reject))
        .then(resolve, reject);
    });
  }

  async #call<T>(subject: string, body: object): Promise<T> {
    let reply: NatsMessage;
    try {
      const timeout = Math.min(CALL_TIMEOUT, this.#settings.timeout);
      reply = await this.#request(`$JS.API.${subject}`, JSON.stringify(body), timeout);
    } catch (cause) {
      throw failed(`JetStream did not answer ${subject}`, cause);
    }
    const answer = parse(reply) as { error?: ApiError };
    if (!UNAVAILABLE.includes(answer.error?.err_code)) this.#unanswered = undefined;
    if (answer.error !== undefined) throw refused(answer.error);
    return answer as T;
  }
}

/** There is no connection: nothing was sent. */
class NotSent extends Error {}

interface ApiError {
  readonly code?: number;
  readonly err_code?: number;
  readonly description?: string;
}

function parse({ data }: NatsMessage): object {
  try {
    const answer: unknown = JSON.parse(Buffer.from(data).toString("utf8"));
    if (typeof answer === "object" && answer !== null) return answer;
  } catch {
    // Said below.
  }
  throw failed("JetStream gave an answer that is not one", undefined);
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, STREAM_BACK_OFF));
}

/** No leader at the moment, a lost connection, a time-out: it may have taken place. */
function isUnanswered(error: unknown): boolean {
  const name = (error as Error | null)?.name ?? "";
  return !/^(?:InvalidSubject|InvalidArgument|PermissionViolation)/.test(name);
}

/** Nobody listens to the stream's subject. */
function isLeaderless(error: unknown): boolean {
  const { cause } = (error ?? {}) as { cause?: { name?: string } };
  return cause?.name === "NoResponders";
}

function isTransient(error: unknown): boolean {
  const code = codeOf(error);
  return UNAVAILABLE.includes(code) || (code === undefined && isUnanswered((error as StoreError).cause));
}

function codeOf(error: unknown): unknown {
  return ((error as Error).cause as ApiError | undefined)?.err_code;
}

function refused(error: ApiError): StoreError {
  const message = `JetStream refused: ${error.description ?? error.err_code ?? error.code}`;
  return new StoreError(FULL.includes(error.err_code) ? "full" : "failed", message, { cause: error });
}

function failed(message: string, cause: unknown): StoreError {
  return new StoreError("failed", message, cause === undefined ? undefined : { cause });
}
