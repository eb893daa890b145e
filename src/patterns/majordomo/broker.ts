/** A broker: a ROUTER, a timer and a gate around broker-rules.ts. */

import crypto from "node:crypto";
import { DriverTimer } from "../../core/timers.js";
import { IdleWaits, withTimeout } from "../../core/waiter.js";
import { Driver } from "../../kit/driver.js";
import { CLOSE_LINGER, type ServerGate } from "../../kit/options.js";
import { RouterReader } from "../../kit/router-reader.js";
import type { DeliveryResult } from "../../sockets/index.js";
import { deliverNow, forwards, ownSockets, queuedBytesFor } from "../../sockets/internal.js";
import { Router } from "../../sockets/request-reply.js";
import { Batcher, messagesAt, takingBatches } from "./batch.js";
import {
  brokerSettings,
  EVENTS,
  type MajordomoBrokerEvent,
  type MajordomoBrokerOptions,
  type MajordomoBrokerStats,
  type MajordomoServiceStats,
} from "./broker-options.js";
import { BrokerRules, isReserved } from "./broker-rules.js";
import {
  type Answer,
  type AtBroker,
  encode,
  isFromClient,
  isWorkersQuestion,
  MAX_TAG,
  NEGOTIATION,
  type Request,
  type ToClient,
  type ToWorker,
} from "./protocol.js";

/** Default. */
const SEND_HIGH_WATER_MARK = 100_000;

/**
 * Passes requests to workers of the named service, and their replies back. Speaks MDP 0.1 (RFC 7) and 0.2 (RFC 18) with
 * any client and worker, and answers `mmi.service`, `mmi.services` and `mmi.stats` (RFC 8).
 *
 * A lost worker's request goes to another, at most `maxDeliveries` times. Other failures have a reason: see {@link
 * ServiceError}.
 * {@link MajordomoClient} has an example.
 */
export class MajordomoBroker extends Driver<MajordomoBrokerEvent, MajordomoBrokerStats> {
  readonly #router: Router;
  readonly #rules: BrokerRules;
  readonly #timer: DriverTimer;
  readonly #gate: ServerGate | undefined;
  readonly #deliveries = new Batcher<Buffer, Request>("worker", (worker, message) => {
    if (deliverNow(this.#router, [worker, ...message]) === "sent") return;
    this.#rules.unreachable(worker);
    this.#timer.update();
  });
  readonly #answers = new Batcher<Buffer, Answer>("client", (client, message, first, count) => {
    const sent = deliverNow(this.#router, [client, ...message]);
    if (sent !== "sent") this.#rules.unanswered(first, count, sent);
  });
  readonly #idle = new IdleWaits();

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
    const effects = {
      toClient: (client: Buffer, message: ToClient): DeliveryResult => this.#toClient(client, message),
      toWorker: (worker: Buffer, message: ToWorker): DeliveryResult => this.#toWorker(worker, message),
      queuedBytes: (client: Buffer): number => queuedBytesFor(this.#router, client),
      event: (event: MajordomoBrokerEvent): void => {
        this.events.emit(event);
        if (this.#idle.isAwaited) setImmediate(() => this.#checkIdle());
      },
    };
    this.#rules = new BrokerRules(settings, effects, crypto.randomInt(MAX_TAG));
    this.#gate = gate;
    gate?.passTo((message) => {
      this.#receive(message, undefined);
      this.#timer.update();
    });
    this.#timer.start(this.#rules);
    // The bound socket keeps the process alive.
    this.#timer.hold(false);
    new RouterReader(this.#router, {
      room: () => Number.POSITIVE_INFINITY,
      message: (frames) => this.#receive(frames, this.#gate),
      // The rules may be in the middle of a call.
      left: (peer) => setImmediate(() => this.#timer.run((now) => this.#rules.peerLeft(peer, now))),
      afterBatch: () => {
        this.#timer.update();
        if (this.#idle.isAwaited) this.#checkIdle();
      },
    });
  }

  /** Last bound endpoint; `null` before {@link bind}. */
  get lastEndpoint(): string | null {
    return this.#router.lastEndpoint;
  }

  /**
   * Binds an endpoint for clients and workers, or one more.
   *
   * @returns the endpoint, wildcards filled in
   * @throws ClosedError `EBADF`; otherwise as `bind` of a socket
   */
  async bind(endpoint: string): Promise<string> {
    this.assertOpen();
    return this.#router.bind(endpoint);
  }

  override stats(): MajordomoBrokerStats {
    return this.#rules.stats();
  }

  /** Known services, unordered; `stats().services` has their number. */
  services(): Generator<MajordomoServiceStats, undefined> {
    return this.#rules.services();
  }

  /** Refuses new requests as `stopping`, and waits for the last answer. */
  protected override onDrain(): Promise<void> {
    this.#rules.drain();
    return this.#idle.wait(this.#rules.idle);
  }

  /** Refuses new requests as `stopping`; pending ones have `linger` ms, then workers get DISCONNECT. */
  protected override async onClose(linger: number): Promise<void> {
    this.#rules.drain();
    if (linger !== 0) await withTimeout(this.#idle.wait(this.#rules.idle), linger);
    this.#idle.end();
    this.#flush();
    this.#rules.disconnectAll(this.#timer.now());
    this.#timer.stop();
    await this.#router.close({ linger: linger === 0 ? 0 : CLOSE_LINGER });
  }

  #checkIdle(): void {
    if (!this.#rules.idle) return;
    this.#flush();
    this.#idle.end();
  }

  #flush(): void {
    this.#deliveries.flush();
    this.#answers.flush();
  }

  /** @param gate `undefined`: it has let the message in, or there is none */
  #receive(frames: Buffer[], gate: ServerGate | undefined): void {
    const now = this.#timer.now();
    let isAdmitted: boolean | undefined;
    messagesAt("broker", frames, (message) => {
      // The first one stands for its batch; of a malformed batch it is a fault.
      isAdmitted ??= gate === undefined || admits(gate, frames, message);
      if (isAdmitted) this.#rules.receive(frames[0] as Buffer, message, now);
    });
  }

  #toClient(client: Buffer, message: ToClient): DeliveryResult {
    if (this.#gate !== undefined && !mayLeave(this.#gate, message)) return "sent";
    if (message.kind === "answer" && this.#answers.add(client, message)) return "sent";
    const frames = encode("client", message, [client]);
    this.#answers.flush(client);
    return deliverNow(this.#router, frames);
  }

  #toWorker(worker: Buffer, message: ToWorker): DeliveryResult {
    if (message.kind === "request" && this.#deliveries.add(worker, message)) return "sent";
    const frames = encode("worker", message, [worker]);
    this.#deliveries.flush(worker);
    return deliverNow(this.#router, frames);
  }
}

/* A broker as half of a pair: the gate is for clients. Workers register with both brokers. */

/** @param message the first one in the frames. @returns `false`: the gate keeps or drops them */
function admits(gate: ServerGate, frames: Buffer[], message: AtBroker): boolean {
  if (!isFromClient(message)) return true;
  if (message.kind !== "request") return gate.admit(frames, false);
  const { service } = message;
  if (!isReserved(service)) return gate.admit(frames, true);
  if (!service.equals(NEGOTIATION)) return gate.admit(frames, false); // Monitoring must not vote.
  // A negotiating client looks for a broker.
  return isWorkersQuestion(message) || gate.admit(frames, true);
}

/** A passive broker drops messages to clients. */
function mayLeave(gate: ServerGate, message: ToClient): boolean {
  // Only a worker's question gets here while it is passive.
  return (message.kind === "answer" && message.address[0]?.equals(NEGOTIATION) === true) || gate.isServing();
}
