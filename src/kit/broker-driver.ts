/** Base of the brokers: a ROUTER for clients, one for workers, and a timer around a state machine. */

import { invalidArgument } from "../core/arguments.js";
import { type EventNames, type EventsOf, event, type TypedEvent } from "../core/event-stream.js";
import { DriverTimer, type TimedRules } from "../core/timers.js";
import { IdleWaits, withTimeout } from "../core/waiter.js";
import { endpointsOf, forwards, ownSockets } from "../sockets/internal.js";
import type { Publisher } from "../sockets/pub-sub.js";
import { Router, type RouterOptions } from "../sockets/request-reply.js";
import { Driver } from "./driver.js";
import { bytes, CLOSE_LINGER, type Given, integer, object, type Settings, serverGate } from "./options.js";
import { RouterReader } from "./router-reader.js";
import { OpenedSockets } from "./sockets.js";

/** Options of every broker. */
export const BROKER_OPTIONS = {
  /** Options of both sockets. */
  socketOptions: object<RouterOptions>(["codec"]),
  /** Options of the client socket, over `socketOptions`. */
  frontendOptions: object<RouterOptions>(["codec"]),
  /**
   * Options of the worker socket, over `socketOptions`. `heartbeatTimeout` (default 30 s) disconnects a stopped or
   * hanging worker, and its request goes to another.
   */
  backendOptions: object<RouterOptions>(["codec"]),
  /** A `BinaryStarGate` makes the broker half of a pair. Default: none. */
  gate: serverGate(),
  /** Queued requests; at the limit reading stops. Default 1,000. */
  maxQueue: integer({ default: 1_000 }),
  /** Bytes of queued requests, plus 64 per frame; at the limit reading stops. Default 64 MiB. */
  maxQueueBytes: bytes({ default: 67_108_864 }),
  /** Workers lost with one request before its client gets `worker-lost`. Default 2. */
  maxDeliveries: integer({ default: 2 }),
};

export type BrokerDriverOptions = Given<typeof BROKER_OPTIONS>;

export const REPLY_DROPPED = {
  /** A client, or requesting site, was gone or at its high-water mark. */
  "reply:dropped": event<{ readonly client: Buffer; readonly reason: "client-gone" | "client-full" }>(),
};

export type ReplyDropped = EventsOf<typeof REPLY_DROPPED>;

/** Bound endpoints, wildcards filled in. */
export interface BrokerEndpoints {
  readonly frontend: readonly string[];
  readonly backend: readonly string[];
}

interface DriverStats {
  readonly repliesDropped: number;
}

export interface DrivenRules<Stats> extends TimedRules {
  readonly room: number;
  readonly pending: number;
  clientMessage(frames: readonly Buffer[], now: number): void;
  workerMessage(from: Buffer, frames: readonly Buffer[], now: number): void;
  clientLeft(client: Buffer): void;
  workerLeft(worker: Buffer, now: number): void;
  /** Refuses new requests. */
  drain(): void;
  close(): void;
  stats(): Stats;
}

export interface BrokerEffects<E extends TypedEvent> {
  /** @returns whether the worker is connected and has room */
  toWorker(frames: readonly Buffer[]): boolean;
  toClient(frames: readonly Buffer[]): void;
  event(event: E): void;
}

export abstract class BrokerDriver<
  E extends TypedEvent,
  Stats extends DriverStats,
  Endpoints extends BrokerEndpoints = BrokerEndpoints,
> extends Driver<E, Stats> {
  readonly #frontend: Router;
  readonly #backend: Router;
  readonly #timer: DriverTimer;
  readonly #rules: DrivenRules<Omit<Stats, "repliesDropped">>;
  readonly #clients: RouterReader;
  readonly #workers: RouterReader;
  readonly #idle = new IdleWaits();
  #repliesDropped = 0;

  /**
   * @internal
   * @param maxStep longest pause of this process that counts as elapsed time, in ms
   * @param sockets further ones of the broker
   */
  protected constructor(
    name: string,
    events: EventNames<E>,
    options: Settings<typeof BROKER_OPTIONS>,
    maxStep: number,
    createRules: (effects: BrokerEffects<E>, now: number) => DrivenRules<Omit<Stats, "repliesDropped">>,
    sockets = new OpenedSockets(),
  ) {
    super(name, events);
    const { socketOptions, frontendOptions, backendOptions, gate } = options;
    // It reports a reply that its client cannot take.
    const frontend = { linger: CLOSE_LINGER, ...socketOptions, ...frontendOptions, mandatory: true };
    this.#frontend = sockets.open(() => new Router(frontend));
    // A lost worker must be reported at once.
    const backend = { linger: CLOSE_LINGER, ...socketOptions, ...backendOptions, mandatory: true };
    this.#backend = sockets.open(() => new Router(backend));
    forwards(this.#frontend, this.#backend);
    ownSockets(this, () => ({ clients: this.#frontend, workers: this.#backend }));
    this.#timer = new DriverTimer(maxStep);
    this.#rules = createRules(
      {
        toWorker: (frames) => this.#backend.tryDeliver(frames as Buffer[]) === "sent",
        toClient: (frames) => {
          if (gate === undefined || gate.isServing()) this.reply(this.#frontend, frames);
        },
        event: (event) => this.events.emit(event),
      },
      this.#timer.now(),
    );
    this.#clients = new RouterReader(this.#frontend, {
      room: () => this.#rules.room,
      message: (frames) => {
        if (gate === undefined || gate.admit(frames, true))
          this.#rules.clientMessage(frames, this.#timer.now());
      },
      left: (id) => this.#rules.clientLeft(id),
      afterBatch: () => this.changed(),
    });
    this.#workers = new RouterReader(this.#backend, {
      room: () => Number.POSITIVE_INFINITY,
      message: (frames) => this.#rules.workerMessage(frames[0] as Buffer, frames.slice(1), this.#timer.now()),
      left: (id) => this.#rules.workerLeft(id, this.#timer.now()),
      afterBatch: () => this.changed(),
    });
    gate?.passTo((frames) => {
      this.#rules.clientMessage(frames, this.#timer.now());
      this.changed();
    });
    this.#timer.hold(false);
    this.#timer.start(this.#rules);
  }

  get endpoints(): Endpoints {
    const sides = Object.entries(this.sides);
    return Object.fromEntries(sides.map(([side, socket]) => [side, endpointsOf(socket).bound])) as never;
  }

  /**
   * Binds one side; call it again for more endpoints.
   * @param side `frontend` for clients, `backend` for workers; a broker may have more (see `endpoints`)
   * @returns the endpoint, wildcards filled in
   * @throws InvalidArgumentError `EINVAL` for a bad side or endpoint; ClosedError `EBADF`, `EAGAIN`; otherwise as a
   *   socket's `bind`
   */
  async bind(side: keyof Endpoints & string, endpoint: string): Promise<string> {
    this.assertOpen();
    const { sides } = this;
    const socket = Object.hasOwn(sides, side) ? sides[side] : undefined;
    if (socket === undefined)
      throw invalidArgument(`A side must be one of ${Object.keys(sides).join(", ")}`, side);
    return socket.bind(endpoint);
  }

  stats(): Stats {
    return { ...this.#rules.stats(), repliesDropped: this.#repliesDropped } as unknown as Stats;
  }

  /** @internal */
  protected get sides(): Readonly<Record<string, BrokerSide>> {
    return { frontend: this.#frontend, backend: this.#backend };
  }

  /** @internal Settles when the accepted requests have ended. Clients of new ones learn that they must go elsewhere. */
  protected override onDrain(): Promise<void> {
    this.#rules.drain();
    return this.#idle.wait(this.#rules.pending === 0);
  }

  /** @internal Requests unfinished after `linger` get an error reply. */
  protected async onClose(linger: number): Promise<void> {
    await withTimeout(this.onDrain(), linger);
    this.#rules.close();
    this.#timer.stop();
    this.#clients.stop();
    this.#workers.stop();
    await Promise.all([
      this.#frontend.close({ linger: Math.min(linger < 0 ? CLOSE_LINGER : linger, CLOSE_LINGER) }),
      this.#backend.close({ linger: 0 }),
      this.closeOthers(),
    ]);
  }

  /** @internal */
  protected async closeOthers(): Promise<void> {}

  /** @internal A reply that cannot be sent is counted and reported. */
  protected reply(socket: Router, frames: readonly Buffer[]): void {
    const result = socket.tryDeliver(frames as Buffer[]);
    if (result === "sent") return;
    this.#repliesDropped += 1;
    const reason = result === "gone" ? "client-gone" : "client-full";
    const event: ReplyDropped = { type: "reply:dropped", client: frames[0] as Buffer, reason };
    this.events.emit(event as unknown as E);
  }

  /** @internal */
  protected now(): number {
    return this.#timer.now();
  }

  /** @internal Call it after calls of the state machine. */
  protected changed(): void {
    this.#timer.update();
    if (this.#rules.room > 0) this.#clients.resume();
    if (this.#idle.isAwaited && this.#rules.pending === 0) this.#idle.end();
  }
}

export type BrokerSide = Router | Publisher;
