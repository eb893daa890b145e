/** Answers, pieces and refusals of a broker. Each request ends here, once. */

import { FAILURES, type FailureReason } from "../kit/errors.js";
import type { MajordomoBrokerLimits } from "./broker-options.js";
import {
  type BrokerEffects,
  type BrokerRequest,
  type Client,
  type SendResult,
  Stage,
} from "./broker-tables.js";
import { type Answer, Body, Dialect, type Request } from "./protocol.js";
import type { RequestMemory } from "./request-memory.js";

const MIDWAY = "A part of the answer went to a connection that is gone.";

export class BrokerReplies {
  readonly counters = {
    requests: 0,
    answered: 0,
    failed: 0,
    abandoned: 0,
    redelivered: 0,
    duplicates: 0,
    late: 0,
    repliesDropped: 0,
  };
  readonly #limits: MajordomoBrokerLimits;
  readonly #effects: BrokerEffects;
  readonly #memory: RequestMemory;
  readonly backlog: ClientBacklog;

  constructor(limits: MajordomoBrokerLimits, effects: BrokerEffects, memory: RequestMemory) {
    this.#limits = limits;
    this.#effects = effects;
    this.#memory = memory;
    this.backlog = new ClientBacklog(limits, effects.queuedBytes);
  }

  refuse(client: Buffer, asked: Request, reason: FailureReason): void {
    this.counters.failed += 1;
    this.#effects.event({ type: "request:failed", service: asked.service.toString(), reason });
    this.#sendError(client, asked, reason);
  }

  /** Answers for one of the broker's own services. */
  own(client: Buffer, asked: Request, frames: readonly Buffer[]): void {
    const body = Body.of(frames);
    if (!this.backlog.take(client, body.cost)) {
      this.#sendError(client, asked, "slow-reader");
      return;
    }
    const { dialect, id, service } = asked;
    const answer: Answer = { kind: "answer", dialect, id, service, final: true, pieces: 0, body };
    if (this.#effects.send(client, answer) === "gone") this.backlog.left(client);
  }

  unanswered(client: Buffer, answers: readonly Answer[], sent: SendResult): void {
    if (sent === "gone") this.backlog.left(client);
    for (const { service } of answers) this.#dropped(service.toString(), sent);
  }

  answer(request: BrokerRequest, body: Body): void {
    request.service.replies += 1;
    if (request.over !== undefined) {
      this.ended(request);
      return;
    }
    const { cost } = body;
    if (!this.backlog.take(request.client, cost)) {
      this.#dropped(request.service.name, "full");
      this.fail(request, "slow-reader");
      return;
    }
    this.counters.answered += 1;
    this.#send(request, true, body);
    // Pieces cannot be repeated.
    if (request.memory !== undefined) {
      if (request.passedOn > 0) this.#memory.forget(request);
      else if (this.#memory.keep(request, cost)) request.answer = body;
    }
    request.finish();
  }

  /** @returns `gone` if the client left, or a reason if the answer was broken off */
  piece(request: BrokerRequest, body: Body): "passed" | "gone" | FailureReason {
    const { cost } = body;
    if (!this.backlog.take(request.client, cost)) {
      this.#dropped(request.service.name, "full");
      return "slow-reader";
    }
    const sent = this.#send(request, false, body);
    if (sent === "full") return "slow-reader";
    request.passedOn += 1;
    return sent === "gone" ? "gone" : "passed";
  }

  /** The client gets the error now; the request ends with its worker. */
  breakOff(request: BrokerRequest, reason: FailureReason, text?: string): void {
    request.over = reason;
    this.#sendFailure(request, reason, text);
  }

  fail(
    request: BrokerRequest,
    reason: FailureReason,
    text: string = FAILURES[reason],
    details?: Buffer,
  ): void {
    if (request.over !== undefined) {
      this.ended(request);
      return;
    }
    this.#failed(request, reason);
    this.#sendFailure(request, reason, text, details);
    request.failure = details === undefined ? [reason, text] : [reason, text, details];
    if (request.memory !== undefined) this.#memory.keep(request, text.length + (details?.length ?? 0));
    request.finish();
  }

  /** Ends a request whose client gets no more. */
  ended(request: BrokerRequest): void {
    if (request.over === "abandoned") this.counters.abandoned += 1;
    else this.#failed(request, request.over as FailureReason);
    this.#memory.forget(request);
    request.finish();
  }

  /** @param from current routing id of the client. @returns whether the delivery in progress is now unwanted */
  repeat(known: BrokerRequest, from: Buffer, owner: Client | undefined): boolean {
    this.counters.duplicates += 1;
    const moved = !known.client.equals(from);
    known.client = from;
    if (known.stage !== Stage.Done) {
      if (moved && known.passedOn > 0) {
        this.#sendFailure(known, "duplicate", MIDWAY);
        return true;
      }
      known.owner = owner;
      // The worker's end will bring it nothing.
      if (known.over !== undefined) this.#sendFailure(known, known.over as FailureReason);
    } else if (known.answer !== undefined) {
      if (this.backlog.take(from, known.keptBytes)) this.#send(known, true, known.answer);
      else {
        this.#dropped(known.service.name, "full");
        this.#sendFailure(known, "slow-reader");
      }
    } else {
      const [reason, text, details] = known.failure ?? (["duplicate"] as const);
      this.#sendFailure(known, reason, text, details);
    }
    return false;
  }

  #sendFailure(request: BrokerRequest, reason: FailureReason, text?: string, details?: Buffer): void {
    const { client, dialect, id, service } = request;
    const sent = this.#sendError(client, { dialect, id, service: service.frame }, reason, text, details);
    if (sent === "full") this.#dropped(service.name, sent);
  }

  #sendError(
    client: Buffer,
    { dialect, id, service }: Pick<Request, "dialect" | "id" | "service">,
    reason: FailureReason,
    text: string = FAILURES[reason],
    details?: Buffer,
  ): SendResult {
    if (dialect !== Dialect.Shoal && !this.#limits.plainErrors) return "sent";
    return this.#effects.send(client, { kind: "error", dialect, id, service, reason, text, details });
  }

  #send(request: BrokerRequest, final: boolean, body: Body): SendResult {
    const { client, dialect, id, service, passedOn: pieces } = request;
    const answer: Answer = { kind: "answer", dialect, id, service: service.frame, final, pieces, body };
    const sent = this.#effects.send(client, answer);
    if (sent === "gone") this.backlog.left(client);
    if (sent !== "sent") this.#dropped(service.name, sent);
    return sent;
  }

  #dropped(service: string, sent: SendResult): void {
    this.counters.repliesDropped += 1;
    const reason = sent === "gone" ? "client-gone" : "client-full";
    this.#effects.event({ type: "reply:dropped", service, reason });
  }

  #failed({ service }: BrokerRequest, reason: FailureReason): void {
    this.counters.failed += 1;
    service.failures += 1;
    this.#effects.event({ type: "request:failed", service: service.name, reason });
  }
}

/** Clients measured for one answer at the bound of all. */
const MAX_LOOKS = 64;

interface Queued {
  readonly client: Buffer;
  /** Upper bound of its queued bytes. */
  bytes: number;
}

/**
 * Bounds the queued bytes of answers, per client and in total. Measuring the socket costs more than an answer: bytes
 * count as queued until the next measurement, at a bound.
 */
export class ClientBacklog {
  readonly #limits: MajordomoBrokerLimits;
  readonly #measure: ((client: Buffer) => number) | undefined;
  /** By routing id, the same object while the peer is connected; least recently measured first. */
  readonly #queued = new Map<Buffer, Queued>();
  /** The answers of a batch have one client. */
  #last: Queued | undefined = undefined;
  #total = 0;

  /** @param measure `undefined`: unknown to the engine, and unbounded here */
  constructor(limits: MajordomoBrokerLimits, measure: ((client: Buffer) => number) | undefined) {
    this.#limits = limits;
    this.#measure = measure;
  }

  get total(): number {
    for (const queued of [...this.#queued.values()]) this.#look(queued);
    return this.#total;
  }

  /** @returns `false` at a bound; a single answer may be larger */
  take(client: Buffer, bytes: number): boolean {
    if (this.#measure === undefined) return true;
    const { maxClientBytes, maxReplyBytes } = this.#limits;
    let queued = this.#of(client);
    if (queued.bytes + bytes > maxClientBytes) {
      this.#look(queued);
      if (queued.bytes > 0 && queued.bytes + bytes > maxClientBytes) return false;
    }
    if (this.#total + bytes > maxReplyBytes && !this.#makeRoom(bytes)) return false;
    // It may have been measured.
    queued = this.#of(client);
    queued.bytes += bytes;
    this.#total += bytes;
    return true;
  }

  left(client: Buffer): void {
    this.#total -= this.#queued.get(client)?.bytes ?? 0;
    this.#queued.delete(client);
    this.#last = undefined;
  }

  #of(client: Buffer): Queued {
    if (this.#last?.client === client) return this.#last;
    let queued = this.#queued.get(client);
    if (queued === undefined) {
      queued = { client, bytes: 0 };
      this.#queued.set(client, queued);
    }
    this.#last = queued;
    return queued;
  }

  #look(queued: Queued): void {
    const { client } = queued;
    const bytes = Math.min(queued.bytes, this.#measure?.(client) ?? 0);
    this.left(client);
    queued.bytes = bytes;
    if (bytes > 0) this.#queued.set(client, queued);
    this.#total += bytes;
  }

  #makeRoom(bytes: number): boolean {
    let looks = Math.min(MAX_LOOKS, this.#queued.size);
    for (const queued of this.#queued.values()) {
      if (looks === 0) break;
      looks -= 1;
      this.#look(queued);
      if (this.#total + bytes <= this.#limits.maxReplyBytes) return true;
    }
    return this.#total === 0;
  }
}
