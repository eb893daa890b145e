/** One registration at one broker: a socket and a timer around worker-rules.ts. */

import { DriverTimer } from "../../core/driver-timer.js";
import { Dealer, type DealerOptions } from "../../sockets/request-reply.js";
import { SendQueue } from "../kit/send-queue.js";
import { Dialect } from "./protocol.js";
import { parseAtWorker } from "./protocol-worker.js";
import type { WorkerEvent } from "./worker-events.js";
import type { WorkerJobs } from "./worker-jobs.js";
import { type SessionOptions, type SessionOutbox, WorkerSession } from "./worker-rules.js";

/** Messages taken from the socket at once. */
const BATCH = 1_000;

/** ms that the last messages have to leave. */
const LAST_WORDS = 1_000;

/**
 * Connections to a plain broker at most. Each has one request at a time, so a worker wants as many as it has handlers;
 * Titanic's have 4,096 each, more than a process has sockets for.
 */
const MAX_PLAIN_CONNECTIONS = 64;

const DIALECT_NAMES = { [Dialect.Mdp01]: "0.1", [Dialect.Mdp02]: "0.2", [Dialect.Shoal]: "shoal" } as const;

/** What all of a worker's connections have. */
export interface Shared {
  readonly session: SessionOptions;
  readonly socketOptions: DealerOptions | undefined;
  readonly jobs: WorkerJobs;
  readonly faults: { count: number };
  readonly emit: (event: WorkerEvent) => void;
}

export class WorkerConnection {
  readonly #endpoint: string;
  readonly #shared: Shared;
  readonly #first: boolean;
  readonly #session: WorkerSession;
  readonly #timer: DriverTimer;
  /** The further connections to a plain broker. */
  #others: WorkerConnection[] = [];
  #dealer: Dealer | undefined;
  #queue: SendQueue | undefined;
  #closed = false;

  constructor(endpoint: string, shared: Shared, first: boolean) {
    this.#endpoint = endpoint;
    this.#shared = shared;
    this.#first = first;
    this.#timer = new DriverTimer(shared.session.heartbeatInterval);
    const outbox: SessionOutbox = {
      open: () => this.#open(),
      close: () => this.#disconnect(),
      send: (message) => {
        this.#queue?.send(message);
      },
      // What waits proves as much as a heartbeat does, and leaves before it would.
      beat: (message) => {
        if (this.#queue?.length === 0) this.#queue.send(message);
      },
      reply: (message, ticket) => this.#queue?.send(message, ticket) ?? true,
      start: (delivery) => shared.jobs.start(this.#session, delivery),
      cancel: (tag) => shared.jobs.cancel(this.#session, tag),
      credit: (tag, bytes) => shared.jobs.credit(this.#session, tag, bytes),
      joined: (dialect) => this.#joined(dialect),
      left: (reason, retryIn) => this.#left(reason, retryIn),
      fault: () => this.#fault(),
    };
    this.#session = new WorkerSession(shared.session, outbox, Math.random);
    // After this turn, so that who makes a worker can listen to its first event.
    queueMicrotask(() => {
      if (this.#closed) return;
      this.#session.start(this.#timer.now());
      this.#timer.start(this.#session);
    });
  }

  get ready(): boolean {
    return this.#session.ready;
  }

  drain(): void {
    this.#session.drain();
    for (const other of this.#others) other.drain();
  }

  async close(linger: number): Promise<void> {
    this.#closed = true;
    this.#session.end();
    this.#timer.stop();
    const last = linger === 0 ? 0 : LAST_WORDS;
    await Promise.all([this.#end(last), ...this.#others.map((other) => other.close(linger))]);
  }

  /** @param linger ms that what is still to be sent has */
  async #end(linger: number): Promise<void> {
    const dealer = this.#dealer;
    const queue = this.#queue;
    this.#dealer = undefined;
    this.#queue = undefined;
    await queue?.drained(linger);
    queue?.close();
    await dealer?.close({ linger });
  }

  #open(): void {
    const dealer = new Dealer({ ...this.#shared.socketOptions });
    this.#dealer = dealer;
    this.#queue = new SendQueue(dealer);
    // After this turn: what came before it is of no use any more, but for a DISCONNECT, which is the same.
    dealer.events.on("disconnect", () => setImmediate(() => this.#lost(dealer)));
    dealer.connect(this.#endpoint);
    void this.#receive(dealer);
  }

  #disconnect(): void {
    void this.#end(0);
  }

  #lost(dealer: Dealer): void {
    if (this.#dealer !== dealer) return;
    this.#session.disconnected(this.#timer.now());
    this.#timer.update();
  }

  #joined(dialect: Dialect): void {
    if (!this.#first) return;
    this.#shared.emit({ type: "broker:join", endpoint: this.#endpoint, dialect: DIALECT_NAMES[dialect] });
    const { concurrency } = this.#shared.session;
    const wanted = dialect === Dialect.Shoal ? 0 : Math.min(concurrency, MAX_PLAIN_CONNECTIONS) - 1;
    for (const other of this.#others.splice(wanted)) void other.close(0);
    const shared = { ...this.#shared, session: { ...this.#shared.session, dialect } };
    while (this.#others.length < wanted) {
      this.#others.push(new WorkerConnection(this.#endpoint, shared, false));
    }
  }

  #left(reason: "disconnect" | "expired" | "lost", retryIn: number): void {
    this.#shared.jobs.abandon(this.#session);
    if (this.#first) this.#shared.emit({ type: "broker:leave", endpoint: this.#endpoint, reason, retryIn });
  }

  #fault(): void {
    this.#shared.faults.count += 1;
    this.#shared.emit({ type: "peer:fault", endpoint: this.#endpoint });
  }

  async #receive(dealer: Dealer): Promise<void> {
    try {
      for (;;) {
        const messages = await dealer.receiveMany({ max: BATCH, timeout: -1 });
        const now = this.#timer.now();
        for (const message of messages) {
          // A message may end the connection that it came over.
          if (this.#dealer !== dealer) return;
          this.#session.receive(parseAtWorker(message), now);
        }
        if (!this.#closed) this.#timer.update();
      }
    } catch (error) {
      if (!dealer.closed) throw error;
    }
  }
}
