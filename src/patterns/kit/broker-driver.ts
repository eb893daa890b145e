/**
 * What every broker here has around its rules: a ROUTER for clients, one for workers, and a timer. `drain` and `close`
 * take no more requests and finish those that were accepted.
 */

import { describe, refuseExtra } from "../../core/arguments.js";
import { DriverTimer, type TimedRules } from "../../core/driver-timer.js";
import { InvalidArgumentError } from "../../core/errors.js";
import type { EventNames, TypedEvent } from "../../core/event-stream.js";
import { ignore } from "../../core/ignore.js";
import { withTimeout } from "../../core/waiter.js";
import { forwards } from "../../sockets/internal.js";
import { ownSockets } from "../../sockets/peer-views.js";
import { Router, type RouterOptions } from "../../sockets/request-reply.js";
import { Driver } from "./driver.js";
import { CLOSE_LINGER, type OptionSpec, object } from "./options.js";
import { RouterReader } from "./router-reader.js";
import { type ServerGate, serverGate } from "./server-gate.js";

/** Options of the two sockets, such as security. */
export interface BrokerSocketOptions {
  /** Of both sockets. */
  readonly socketOptions?: RouterOptions | undefined;
  /** Of the one for clients, over those of both. */
  readonly frontendOptions?: RouterOptions | undefined;
  /**
   * Of the one for workers, over those of both. After its `heartbeatTimeout` (default 30 s) a worker that is stopped or hangs has its
   * connection ended, and its request goes to another.
   */
  readonly backendOptions?: RouterOptions | undefined;
}

/** Options of a broker that can be one of a pair. */
export interface BrokerDriverOptions extends BrokerSocketOptions {
  /** Makes the broker one of a pair: a `BinaryStarGate`. Default: it always serves. */
  readonly gate?: ServerGate | undefined;
}

/** The options above, for the table of a broker's own. */
export const BROKER_OPTIONS = {
  socketOptions: object<RouterOptions>(),
  frontendOptions: object<RouterOptions>(),
  backendOptions: object<RouterOptions>(),
  gate: serverGate(),
} satisfies Readonly<Record<keyof BrokerDriverOptions, OptionSpec<unknown>>>;

/** A reply that its client, or the site that asked, could not take: it is gone, or at its high-water mark. */
export interface ReplyDropped {
  readonly type: "reply:dropped";
  readonly client: Buffer;
  readonly reason: "client-gone" | "client-full";
}

/** Where a broker listens, wildcards filled in. */
export interface BrokerEndpoints {
  /** For clients. */
  readonly frontend: readonly string[];
  /** For workers. */
  readonly backend: readonly string[];
}

/** What a broker counts in addition to its rules. */
interface DriverStats {
  readonly repliesDropped: number;
}

/** What a broker's rules are to its driver. */
export interface DrivenRules<Stats> extends TimedRules {
  /** How many more requests are taken now. */
  readonly room: number;
  /** Requests accepted and not answered. */
  readonly pending: number;
  clientMessage(frames: readonly Buffer[], now: number): void;
  workerMessage(from: Buffer, frames: readonly Buffer[], now: number): void;
  clientLeft(client: Buffer, now: number): void;
  workerLeft(worker: Buffer, now: number): void;
  close(): void;
  stats(): Stats;
}

/** What a broker's driver does for its rules. */
export interface BrokerEffects<E extends TypedEvent> {
  /** @returns whether the worker is connected and has room */
  toWorker(frames: readonly Buffer[]): boolean;
  toClient(frames: readonly Buffer[]): void;
  event(event: E): void;
}

/** A broker between clients and workers. */
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
  readonly #endpoints = new Map<string, string[]>();
  #drained: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;
  #repliesDropped = 0;

  /**
   * @internal
   * @param name of the class, for errors
   * @param maxStep ms of a stall of this process that count, at most
   */
  protected constructor(
    name: string,
    events: EventNames<E>,
    options: BrokerDriverOptions,
    maxStep: number,
    createRules: (effects: BrokerEffects<E>, now: number) => DrivenRules<Omit<Stats, "repliesDropped">>,
  ) {
    super(name, events);
    const { socketOptions, frontendOptions, backendOptions, gate } = options;
    // A reply that its client cannot take is to be known, too.
    this.#frontend = new Router({
      linger: CLOSE_LINGER,
      ...socketOptions,
      ...frontendOptions,
      mandatory: true,
    });
    // A worker that is not there any more has to be known at once: its request goes to another.
    this.#backend = new Router({
      linger: CLOSE_LINGER,
      ...socketOptions,
      ...backendOptions,
      mandatory: true,
    });
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
      left: (id) => this.#rules.clientLeft(id, this.#timer.now()),
      afterBatch: this.#changed,
    });
    this.#workers = new RouterReader(this.#backend, {
      room: () => Number.POSITIVE_INFINITY,
      message: (frames) => this.#rules.workerMessage(frames[0] as Buffer, frames.slice(1), this.#timer.now()),
      left: (id) => this.#rules.workerLeft(id, this.#timer.now()),
      afterBatch: this.#changed,
    });
    gate?.passTo((frames) => {
      this.#rules.clientMessage(frames, this.#timer.now());
      this.#changed();
    });
    // Bound sockets hold the process; the timer alone has no reason to.
    this.#timer.hold(false);
    this.#timer.start(this.#rules);
  }

  /** Where it listens. */
  get endpoints(): Endpoints {
    const sides = Object.keys(this.sides);
    return Object.fromEntries(sides.map((side) => [side, [...(this.#endpoints.get(side) ?? [])]])) as never;
  }

  /**
   * Listens at one side; any number of endpoints.
   *
   * @param side `frontend` for clients, `backend` for workers; a broker may have more (its `endpoints`)
   * @returns the endpoint, wildcards filled in
   * @throws InvalidArgumentError `EINVAL` for a bad side or endpoint; ClosedError `EBADF`, `EAGAIN`; otherwise as `bind` of a
   *   socket
   */
  bind(side: keyof Endpoints & string, endpoint: string): Promise<string>;
  async bind(side: keyof Endpoints & string, endpoint: string, ...extra: unknown[]): Promise<string> {
    this.assertOpen();
    refuseExtra("bind", "a side and an endpoint", extra);
    const { sides } = this;
    const socket = Object.hasOwn(sides, side) ? sides[side] : undefined;
    if (socket === undefined)
      throw new InvalidArgumentError(`A side is ${Object.keys(sides).join(", ")}; got ${describe(side)}`);
    const bound = await socket.bind(endpoint);
    const endpoints = this.#endpoints.get(side);
    if (endpoints === undefined) this.#endpoints.set(side, [bound]);
    else endpoints.push(bound);
    return bound;
  }

  stats(): Stats {
    return { ...this.#rules.stats(), repliesDropped: this.#repliesDropped } as unknown as Stats;
  }

  /** @internal The sockets that listen, by side. */
  protected get sides(): Readonly<Record<string, BrokerSide>> {
    return { frontend: this.#frontend, backend: this.#backend };
  }

  /** @internal No request is read any more; settles when those that were accepted have ended. */
  protected override onDrain(): Promise<void> {
    this.#clients.stop();
    if (this.#rules.pending === 0) return Promise.resolve();
    if (this.#drained === undefined) {
      let resolve: () => void = ignore;
      const promise = new Promise<void>((done) => {
        resolve = done;
      });
      this.#drained = { promise, resolve };
    }
    return this.#drained.promise;
  }

  /** @internal What is not finished within `linger` is dropped, and its clients get an error reply. */
  protected async onClose(linger: number): Promise<void> {
    await withTimeout(this.onDrain(), linger);
    this.#rules.close();
    this.#drained?.resolve();
    this.#timer.stop();
    this.#workers.stop();
    await Promise.all([
      this.#frontend.close({ linger: Math.min(linger < 0 ? CLOSE_LINGER : linger, CLOSE_LINGER) }),
      this.#backend.close({ linger: 0 }),
      this.closeOthers(),
    ]);
  }

  /** @internal What else a broker has open: closed with its ROUTERs. */
  protected async closeOthers(): Promise<void> {}

  /** @internal Sends a reply; one that cannot be taken is counted, and an event. */
  protected reply(socket: Router, frames: readonly Buffer[]): void {
    const result = socket.tryDeliver(frames as Buffer[]);
    if (result === "sent") return;
    this.#repliesDropped += 1;
    const reason = result === "gone" ? "client-gone" : "client-full";
    const event: ReplyDropped = { type: "reply:dropped", client: frames[0] as Buffer, reason };
    // The events of every such broker have this one among them.
    this.events.emit(event as unknown as E);
  }

  /** @internal The rules' time. */
  protected now(): number {
    return this.#timer.now();
  }

  /** @internal To be called after every call of the rules, or a batch of them. */
  protected changed(): void {
    this.#changed();
  }

  #changed = (): void => {
    this.#timer.update();
    if (this.#rules.room > 0) this.#clients.resume();
    if (this.#drained !== undefined && this.#rules.pending === 0) this.#drained.resolve();
  };
}

/** A socket that listens. */
export type BrokerSide = Pick<Router, "bind">;
