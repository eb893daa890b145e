/** A Majordomo broker: the socket, the timer and the gate around broker-rules.ts. */

import crypto from "node:crypto";
import { refuseExtra } from "../../core/arguments.js";
import { DriverTimer } from "../../core/driver-timer.js";
import { ClosedError } from "../../core/errors.js";
import type { EventNames } from "../../core/event-stream.js";
import { withTimeout } from "../../core/waiter.js";
import { capabilitiesOf, deliverNow, forwards, queuedBytesFor } from "../../sockets/internal.js";
import { ownSockets } from "../../sockets/peer-views.js";
import { Router } from "../../sockets/request-reply.js";
import { Driver } from "../kit/driver.js";
import type { ServerGate } from "../kit/server-gate.js";
import { ANSWERS, Batcher, DELIVERIES, messagesAtBroker, takingBatches } from "./batch.js";
import {
  brokerSettings,
  type MajordomoBrokerEvent,
  type MajordomoBrokerOptions,
  type MajordomoBrokerStats,
  type MajordomoServiceStats,
} from "./broker-options.js";
import { isReserved } from "./broker-peers.js";
import { BrokerRules } from "./broker-rules.js";
import type { FromBroker, SendResult } from "./broker-tables.js";
import {
  type Answer,
  type AtBroker,
  encodeToClient,
  encodeToWorker,
  type Given,
  isWorkersQuestion,
  MAX_TAG,
  NEGOTIATION,
  SERVING,
} from "./wire.js";

/** Answers queued for one client that does not read, unless `socketOptions` says otherwise. */
const SEND_HIGH_WATER_MARK = 100_000;

/** ms that the last messages have to leave. */
const FLUSH_TIMEOUT = 1_000;

const EVENTS: EventNames<MajordomoBrokerEvent> = {
  "service:started": true,
  "service:stopped": true,
  "worker:joined": true,
  "worker:left": true,
  "request:redelivered": true,
  "request:failed": true,
  "request:abandoned": true,
  "request:repeated": true,
  "reply:dropped": true,
  "peer:invalid": true,
};

/**
 * Passes requests to the workers of the service that they name, and the replies
 * back. Speaks MDP 0.1 (RFC 7) and 0.2 (RFC 18) with any client and worker at
 * once, and answers `mmi.service`, `mmi.services` and `mmi.stats` (RFC 8).
 *
 * A request that a worker was lost with goes to another, at most `maxDeliveries`
 * times. What cannot be served is refused with a reason: see {@link ServiceError}.
 *
 * @example
 * ```ts
 * import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "shoal/majordomo";
 *
 * const broker = new MajordomoBroker();
 * const endpoint = await broker.bind("tcp://127.0.0.1:*");
 * const worker = new MajordomoWorker(endpoint, "double", ([n]) => String(2 * Number(n)), { concurrency: 8 });
 * const client = new MajordomoClient(endpoint);
 * console.log(String(await client.request("double", "21"))); // 42
 * await client.close();
 * await worker.close();
 * await broker.close();
 * ```
 */
export class MajordomoBroker extends Driver<MajordomoBrokerEvent, MajordomoBrokerStats> {
  readonly #router: Router;
  readonly #rules: BrokerRules;
  readonly #timer: DriverTimer;
  readonly #gate: ServerGate | undefined;
  readonly #deliveries = new Batcher<Buffer, Given>(DELIVERIES, (worker, message) => {
    if (deliverNow(this.#router, [worker, ...message]) === "sent") return;
    this.#rules.unreachable(worker);
    this.#timer.update();
  });
  readonly #answers = new Batcher<Buffer, Answer>(ANSWERS, (client, message, answers) => {
    const sent = deliverNow(this.#router, [client, ...message]);
    if (sent !== "sent") this.#rules.unanswered(client, answers, sent);
  });
  /** Waits for the last request to end: `drain` and `close`. */
  #idleWaits: (() => void)[] = [];
  /** Peers whose connections have ended while messages were still to be read, perhaps theirs. */
  #departed: Buffer[] = [];

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: MajordomoBrokerOptions = {}) {
    super("MajordomoBroker", EVENTS);
    const settings = brokerSettings(options);
    const { socketOptions, gate } = settings;
    this.#router = new Router({
      sendHighWaterMark: SEND_HIGH_WATER_MARK,
      ...socketOptions,
      mandatory: true,
      receiveTimeout: -1,
    });
    takingBatches(this.#router);
    forwards(this.#router);
    ownSockets(this, () => ({ peers: this.#router }));
    this.#timer = new DriverTimer(settings.heartbeatInterval);
    const { peerRoutingIds, queueDepth } = capabilitiesOf(this.#router);
    const queuedBytes = (client: Buffer): number =>
      queuedBytesFor(this.#router, client) + this.#answers.bytesFor(client);
    const effects = {
      send: (to: Buffer, message: FromBroker): SendResult => this.#send(to, message),
      queuedBytes: queueDepth ? queuedBytes : undefined,
      event: (event: MajordomoBrokerEvent): void => {
        this.events.emit(event);
        // Requests end by timeouts and lost peers, too, each with an event.
        if (this.#idleWaits.length > 0) setImmediate(() => this.#checkIdle());
      },
    };
    this.#rules = new BrokerRules(settings, effects, {
      incarnation: crypto.randomBytes(8),
      firstTag: crypto.randomInt(MAX_TAG),
      bornAt: this.#timer.now(),
    });
    this.#gate = gate;
    gate?.passTo((message) => this.#pass(message));
    this.#timer.start(this.#rules);
    // Elsewhere heartbeats show which peers are gone, and listening costs.
    if (peerRoutingIds) this.#router.events.on("peer:leave", this.#routerOnPeerLeave);
    // The bound socket holds the process; the timer alone does not.
    this.#timer.hold(false);
    void this.#receive();
  }

  /** The endpoint bound last, as resolved: `null` before {@link bind}. */
  get lastEndpoint(): string | null {
    return this.#router.lastEndpoint;
  }

  /**
   * Listens for clients and workers; more than once for several endpoints.
   *
   * @returns the endpoint as resolved, with the port that the system chose for `:*`
   * @throws ClosedError `EBADF`; otherwise as `bind` of a socket
   */
  bind(endpoint: string): Promise<string>;
  async bind(endpoint: string, ...extra: unknown[]): Promise<string> {
    this.assertOpen();
    refuseExtra("bind", "an endpoint", extra);
    await this.#router.bind(endpoint);
    return this.#router.lastEndpoint as string;
  }

  override stats(): MajordomoBrokerStats {
    return this.#rules.stats();
  }

  /** The services that are offered or asked for, `stats().services` of them, in no order. */
  services(): Generator<MajordomoServiceStats, undefined> {
    return this.#rules.services();
  }

  /** Refuses new requests as `stopping`, and settles when the last one has its answer. */
  protected override onDrain(): Promise<void> {
    this.#rules.drain();
    return this.#whenIdle();
  }

  /** New requests are refused as `stopping`; those in flight have `linger` ms to end, then all workers get DISCONNECT. */
  protected override async onClose(linger: number): Promise<void> {
    this.#rules.drain();
    if (linger !== 0) await withTimeout(this.#whenIdle(), linger);
    for (const resolve of this.#idleWaits.splice(0)) resolve();
    this.#flush();
    this.#rules.disconnectAll(this.#timer.now());
    this.#timer.stop();
    await this.#router.close({ linger: linger === 0 ? 0 : FLUSH_TIMEOUT });
  }

  #whenIdle(): Promise<void> {
    if (this.#rules.idle) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idleWaits.push(resolve);
    });
  }

  #checkIdle(): void {
    if (!this.#rules.idle) return;
    this.#flush();
    for (const resolve of this.#idleWaits.splice(0)) resolve();
  }

  #flush(): void {
    this.#deliveries.flush();
    this.#answers.flush();
  }

  async #receive(): Promise<void> {
    const router = this.#router;
    try {
      for (;;) {
        const messages = await router.receiveMany();
        const now = this.#timer.now();
        for (let i = 0; i < messages.length; i++) {
          const frames = messages[i] as Buffer[];
          const members = messagesAtBroker(frames);
          if (this.#gate !== undefined && !admits(this.#gate, frames, members[0] as AtBroker)) continue;
          for (const message of members) this.#rules.receive(frames[0] as Buffer, message, now);
        }
        if (this.#departed.length > 0) this.#reportDeparted();
        this.#timer.update();
        if (this.#idleWaits.length > 0) this.#checkIdle();
      }
    } catch (error) {
      if (!router.closed && !(error instanceof ClosedError)) throw error;
    }
  }

  /** The event overtakes what came before it: what is read in this turn, and what waits to be. */
  #routerOnPeerLeave = ({ routingId }: { readonly routingId?: Buffer }): void => {
    if (routingId === undefined) return;
    this.#departed.push(routingId);
    if (this.#departed.length > 1) return;
    setImmediate(() => {
      this.#reportDeparted();
      this.#timer.update();
    });
  };

  /** While there is always something to be read, heartbeats find out who is gone. */
  #reportDeparted(): void {
    if (this.#router.readable) return;
    const now = this.#timer.now();
    for (const peer of this.#departed.splice(0)) this.#rules.peerLeft(peer, now);
  }

  /** The gate had kept it until now. */
  #pass(frames: Buffer[]): void {
    const now = this.#timer.now();
    for (const message of messagesAtBroker(frames)) this.#rules.receive(frames[0] as Buffer, message, now);
    this.#timer.update();
  }

  #send(to: Buffer, message: FromBroker): SendResult {
    switch (message.kind) {
      case "request":
        if (this.#deliveries.add(to, message)) return "sent";
        return deliverNow(this.#router, encodeToWorker(message, [to]));
      case "answer":
      case "error":
      case "waiting":
      case "broker-heartbeat":
        if (this.#gate !== undefined && !mayLeave(this.#gate, message)) return "sent";
        if (message.kind === "answer" && this.#answers.add(to, message)) return "sent";
        return deliverNow(this.#router, encodeToClient(message, [to]));
      default:
        this.#deliveries.flush(to);
        return deliverNow(this.#router, encodeToWorker(message, [to]));
    }
  }
}

/*
 * A broker behind a gate, as one of a pair. The gate decides about clients only: workers are registered at both brokers at
 * any time, so that they are there when the other one begins to serve.
 */

/** @param message the first one in these frames. @returns whether the broker takes them now; if not, the gate has them */
function admits(gate: ServerGate, frames: Buffer[], message: AtBroker): boolean {
  switch (message.kind) {
    case "request": {
      const { service } = message;
      if (!isReserved(service)) return gate.admit(frames, true);
      // The passive one of a pair does not answer, and counts nothing: clients of the other one ask again and again.
      if (service.equals(SERVING)) return gate.isServing();
      if (!service.equals(NEGOTIATION)) return gate.admit(frames, false); // Monitoring must not vote.
      // A client that asks what its broker speaks is a client that looks for a broker.
      return isWorkersQuestion(message) || gate.admit(frames, true);
    }
    case "cancel":
    case "credit":
    case "client-heartbeat":
      return gate.admit(frames, false);
    default:
      return true;
  }
}

/** Whether a message for a client may leave: a broker that does not serve drops it. */
function mayLeave(gate: ServerGate, message: FromBroker): boolean {
  // A client's question is answered only while the broker serves; this is a worker's.
  return (message.kind === "answer" && message.service.equals(NEGOTIATION)) || gate.isServing();
}
