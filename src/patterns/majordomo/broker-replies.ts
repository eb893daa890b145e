/**
 * What a broker sends to clients: answers and their pieces, refusals, and the same
 * again for a repetition. Each request ends here, once.
 */

import { Link, LinkedList } from "../../core/collections/linked-list.js";
import { costOf, FRAME_COST, frameCost } from "../../core/frame-cost.js";
import { FAILURES, type FailureReason } from "../kit/errors.js";
import type { MajordomoBrokerLimits } from "./broker-options.js";
import type { BrokerRuns } from "./broker-runs.js";
import {
  type BrokerEffects,
  type BrokerRequest,
  type Client,
  type SendResult,
  Stage,
} from "./broker-tables.js";
import { answer, type RequestCommand, refusal, waiting } from "./client-messages.js";
import { Dialect, type Frames, pieceCost } from "./protocol.js";
import type { RequestMemory } from "./request-memory.js";

const MIDWAY = "A part of the answer went to a connection that is gone.";

/** Failures that are kept for clients without room; of more, their clients hear when their time is over. */
const MAX_UNSENT_FAILURES = 1_000;

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
  /** Failures that their clients have no room for: an answer in pieces must not just cease. */
  #unsentFailures: Frames[] = [];
  readonly #runs: BrokerRuns;
  /** What waits for clients. */
  readonly backlog: ClientBacklog;

  constructor(
    limits: MajordomoBrokerLimits,
    effects: BrokerEffects,
    memory: RequestMemory,
    runs: BrokerRuns,
  ) {
    this.#runs = runs;
    this.#limits = limits;
    this.#effects = effects;
    this.#memory = memory;
    const { queuedBytes } = effects;
    this.backlog = new ClientBacklog(
      limits,
      queuedBytes === undefined ? undefined : (client) => queuedBytes(client) + runs.bytesFor(client),
    );
  }

  /** Whether failures wait that clients had no room for. */
  get hasUnsentFailures(): boolean {
    return this.#unsentFailures.length > 0;
  }

  /** Sends the failures that clients had no room for. */
  retry(): void {
    this.#unsentFailures = this.#unsentFailures.filter((message) => this.#effects.send(message) === "full");
  }

  /** Refuses what was not taken in. */
  refuse(
    client: Buffer,
    command: Pick<RequestCommand, "dialect" | "head" | "service">,
    reason: FailureReason,
  ): void {
    const { dialect, head, service } = command;
    this.counters.failed += 1;
    this.#effects.event({ type: "request:failed", service: service.toString(), reason });
    if (dialect !== Dialect.Shoal && !this.#limits.plainErrors) return;
    this.#effects.send(refusal({ client, dialect, head }, service, reason, FAILURES[reason]));
  }

  /** Reports that an answer does not come. */
  #sendFailure(request: BrokerRequest, reason: string, text: string, details?: Buffer): void {
    const message = refusal(request, request.service.frame, reason, text, details);
    if (this.#effects.send(message) === "full" && this.#unsentFailures.length < MAX_UNSENT_FAILURES)
      this.#unsentFailures.push(message);
  }

  /** Reports to a client of shoal's, once for each change, whether a worker offers what its request waits for. */
  noWorkers(request: BrokerRequest, noWorkers: boolean): void {
    if (request.noWorkers === noWorkers || request.dialect !== Dialect.Shoal) return;
    request.noWorkers = noWorkers;
    if (!request.abandoned) this.#effects.send(waiting(request, noWorkers));
  }

  /** The broker's own answer. */
  own(client: Buffer, command: RequestCommand, body: readonly Buffer[]): void {
    const { dialect, head, service } = command;
    const to = { client, dialect, head };
    if (this.backlog.take(client, pieceCost(body))) {
      if (this.#effects.send(answer(to, true, service, body, 0)) === "gone") this.backlog.left(client);
    } else if (dialect === Dialect.Shoal || this.#limits.plainErrors) {
      this.#effects.send(refusal(to, service, "slow-reader", FAILURES["slow-reader"]));
    }
  }

  /** An answer that came in a run, the bytes of `source` from `from` up to `to`, to a request whose worker has sent no pieces. */
  answerInRun(request: BrokerRequest, source: Buffer, from: number, to: number): void {
    if (!request.joins || request.abandoned || !this.#runs.isOn) {
      this.answer(request, [source.subarray(from, to)], 0);
      return;
    }
    request.service.replies += 1;
    if (!this.backlog.take(request.client, 2 * FRAME_COST + to - from)) {
      this.#dropped(request, "client-full");
      this.fail(request, "slow-reader");
      return;
    }
    this.counters.answered += 1;
    this.#runs.answer(request, source, from, to);
    const isKept = this.#memory.keep(request, frameCost(to - from));
    request.finish();
    if (!isKept) return;
    request.source = source;
    request.from = from;
    request.to = to;
  }

  /** Their answers did not reach the client. */
  unanswered(client: Buffer, requests: readonly BrokerRequest[], sent: SendResult): void {
    if (sent === "gone") this.backlog.left(client);
    for (const request of requests) this.#dropped(request, sent === "gone" ? "client-gone" : "client-full");
  }

  /** @param frames the body begins at `at` */
  answer(request: BrokerRequest, frames: readonly Buffer[], at: number): void {
    request.service.replies += 1;
    if (request.abandoned) {
      this.abandoned(request);
      return;
    }
    if (request.broken !== undefined) {
      this.#endBroken(request);
      return;
    }
    if (request.joinedBytes > this.#limits.maxJoinedBytes) {
      this.fail(request, "too-large");
      return;
    }
    const { joined } = request;
    const whole = joined === undefined ? frames : [...joined, ...frames.slice(at)];
    const start = joined === undefined ? at : 0;
    if (!this.backlog.take(request.client, pieceCost(whole, start))) {
      this.#dropped(request, "client-full");
      this.fail(request, "slow-reader");
      return;
    }
    this.counters.answered += 1;
    this.#send(request, true, whole, start);
    // Pieces are not kept: what was passed on cannot be repeated.
    if (request.memory !== undefined) {
      if (request.passedOn > 0) this.#memory.forget(request);
      else if (this.#memory.keep(request, costOf(whole, start))) {
        request.answer = whole;
        request.answerAt = start;
      }
    }
    request.finish();
  }

  /** A piece of an answer. @returns what became of it: `gone`, nobody is there to have it; a reason, it broke the answer off */
  piece(request: BrokerRequest, frames: readonly Buffer[], at: number): "passed" | "gone" | FailureReason {
    if (request.abandoned || request.broken !== undefined) return "passed";
    if (request.dialect === Dialect.Mdp01) {
      request.joinedBytes += costOf(frames, at);
      if (request.joinedBytes <= this.#limits.maxJoinedBytes) {
        request.joined ??= [];
        for (let i = at; i < frames.length; i++) request.joined.push(frames[i] as Buffer);
        return "passed";
      }
      request.joined = undefined;
      return "too-large";
    }
    if (!this.backlog.take(request.client, pieceCost(frames, at))) {
      this.#dropped(request, "client-full");
      return "slow-reader";
    }
    const sent = this.#send(request, false, frames, at);
    if (sent === "full") return "slow-reader";
    request.passedOn += 1;
    return sent === "gone" ? "gone" : "passed";
  }

  /** An answer in pieces is broken off: the client gets the error now, and the request ends when its worker does. */
  breakOff(request: BrokerRequest, reason: FailureReason): void {
    request.broken = reason;
    if (request.dialect !== Dialect.Shoal && !this.#limits.plainErrors) return;
    this.#sendFailure(request, reason, FAILURES[reason]);
  }

  /** There will be no answer. */
  fail(
    request: BrokerRequest,
    reason: FailureReason,
    text: string = FAILURES[reason],
    details?: Buffer,
  ): void {
    if (request.abandoned) {
      this.abandoned(request);
      return;
    }
    if (request.broken !== undefined) {
      this.#endBroken(request);
      return;
    }
    const { service } = request;
    this.counters.failed += 1;
    service.failures += 1;
    this.#effects.event({ type: "request:failed", service: service.name, reason });
    if (request.dialect === Dialect.Shoal || this.#limits.plainErrors)
      this.#sendFailure(request, reason, text, details);
    request.failure = details === undefined ? [reason, text] : [reason, text, details];
    if (request.memory !== undefined) this.#memory.keep(request, text.length + (details?.length ?? 0));
    request.finish();
  }

  /** It has come to its end, and nobody wants it. */
  abandoned(request: BrokerRequest): void {
    this.counters.abandoned += 1;
    this.#memory.forget(request);
    request.finish();
  }

  /**
   * A request that is known: the client gets the same answer, when it is there.
   *
   * @param from where the client is now
   * @returns whether what is under way is of no use to it any more
   */
  repeat(known: BrokerRequest, from: Buffer, owner: Client | undefined): boolean {
    this.duplicate(known.service.name);
    if (known.stage === Stage.Done) known.alone();
    const moved = !known.client.equals(from);
    known.client = from;
    if (known.stage !== Stage.Done) {
      if (moved && known.passedOn > 0) {
        // Pieces went to where the client was: what follows would not be the whole.
        this.#effects.send(refusal(known, known.service.frame, "duplicate", MIDWAY));
        return true;
      }
      known.owner = owner;
    } else if (known.answer !== undefined) {
      if (this.backlog.take(from, known.keptBytes)) this.#send(known, true, known.answer, known.answerAt);
      else {
        this.#dropped(known, "client-full");
        this.#effects.send(refusal(known, known.service.frame, "slow-reader", FAILURES["slow-reader"]));
      }
    } else {
      const [reason, text, details] = known.failure ?? (["duplicate", FAILURES.duplicate] as const);
      this.#effects.send(refusal(known, known.service.frame, reason, text, details));
    }
    return false;
  }

  duplicate(service: string): void {
    this.counters.duplicates += 1;
    this.#effects.event({ type: "request:repeated", service });
  }

  #send(request: BrokerRequest, final: boolean, frames: readonly Buffer[], at: number): SendResult {
    const { service, passedOn } = request;
    const { reusesHeads } = this.#effects;
    const sent = this.#effects.send(answer(request, final, service.frame, frames, at, passedOn, reusesHeads));
    if (sent === "gone") this.backlog.left(request.client);
    if (sent !== "sent") this.#dropped(request, sent === "gone" ? "client-gone" : "client-full");
    return sent;
  }

  #dropped(request: BrokerRequest, reason: "client-gone" | "client-full"): void {
    this.counters.repliesDropped += 1;
    this.#effects.event({ type: "reply:dropped", service: request.service.name, reason });
  }

  /** An answer that was broken off has come to its end. */
  #endBroken(request: BrokerRequest): void {
    const { service, broken } = request;
    const reason = broken as FailureReason;
    this.counters.failed += 1;
    service.failures += 1;
    this.#effects.event({ type: "request:failed", service: service.name, reason });
    this.#memory.forget(request);
    request.finish();
  }
}

/** Clients that are looked at again for one answer when all of them together are at the bound. */
const MAX_LOOKS = 64;

/** Bytes that wait for a plain client from which on its answers' pieces are not asked for, until it has read some. */
const MAX_AHEAD = 1_048_576;

class Waiting {
  readonly client: Buffer;
  /** Bytes that wait at most. */
  bytes = 0;
  readonly link: Link<Waiting> = new Link<Waiting>(this);

  constructor(client: Buffer) {
    this.client = client;
  }
}

/**
 * How many bytes of answers wait for clients at the broker's socket, at most: for each of them and for all together.
 *
 * The engine knows what waits for a peer, but asking it for each answer would cost more than the answer. So what was sent
 * since it was asked last counts as waiting, which is never too little, and it is asked again when that comes to a bound.
 */
export class ClientBacklog {
  readonly #limits: MajordomoBrokerLimits;
  readonly #measure: ((client: Buffer) => number) | undefined;
  /** By the routing id's object, which an engine that can measure gives again and again for one connection. */
  readonly #byClient = new Map<Buffer, Waiting>();
  /** In the order in which they were measured. */
  readonly #all = new LinkedList<Waiting>();
  #last: Waiting | undefined = undefined;
  #total = 0;

  /** @param measure bytes that wait for a client at the socket; `undefined`: the engine cannot know, nothing is bounded here */
  constructor(limits: MajordomoBrokerLimits, measure: ((client: Buffer) => number) | undefined) {
    this.#limits = limits;
    this.#measure = measure;
  }

  /** Bytes that wait now. */
  get total(): number {
    for (const waiting of [...this.#all]) this.#look(waiting);
    return this.#total;
  }

  /** Counts an answer for a client. @returns `false`: it is not to be sent, too much waits. One alone always may. */
  take(client: Buffer, bytes: number): boolean {
    if (this.#measure === undefined) return true;
    const { maxClientBytes, maxReplyBytes } = this.#limits;
    const last = this.#last;
    const waiting = last?.client === client ? last : this.#of(client);
    if (waiting.bytes + bytes > maxClientBytes) {
      this.#look(waiting);
      if (waiting.bytes > 0 && waiting.bytes + bytes > maxClientBytes) return false;
    }
    if (this.#total + bytes > maxReplyBytes && !this.#makeRoom(bytes)) return false;
    waiting.bytes += bytes;
    this.#total += bytes;
    if (waiting.link.list === undefined) this.#add(waiting);
    return true;
  }

  /** Whether so little waits for a client that more of an answer can be asked for. */
  readsOn(client: Buffer): boolean {
    const waiting = this.#byClient.get(client);
    if (waiting === undefined || waiting.bytes <= MAX_AHEAD) return true;
    this.#look(waiting);
    return waiting.bytes <= MAX_AHEAD;
  }

  /** A client's connection has ended, and what waited for it. */
  left(client: Buffer): void {
    const waiting = this.#byClient.get(client);
    if (waiting !== undefined) this.#remove(waiting);
  }

  #of(client: Buffer): Waiting {
    const waiting = this.#byClient.get(client) ?? new Waiting(client);
    this.#last = waiting;
    return waiting;
  }

  #add(waiting: Waiting): void {
    this.#byClient.set(waiting.client, waiting);
    this.#all.push(waiting.link);
  }

  #remove(waiting: Waiting): void {
    this.#total -= waiting.bytes;
    waiting.bytes = 0;
    waiting.link.unlink();
    this.#byClient.delete(waiting.client);
    if (this.#last === waiting) this.#last = undefined;
  }

  #look(waiting: Waiting): void {
    if (waiting.link.list === undefined) return;
    const bytes = Math.min(waiting.bytes, this.#measure?.(waiting.client) ?? 0);
    this.#total += bytes - waiting.bytes;
    waiting.bytes = bytes;
    if (bytes === 0) this.#remove(waiting);
    else this.#all.push(waiting.link);
  }

  #makeRoom(bytes: number): boolean {
    const { maxReplyBytes } = this.#limits;
    for (let looks = Math.min(MAX_LOOKS, this.#all.length); looks > 0; looks--) {
      this.#look(this.#all.first as Waiting);
      if (this.#total + bytes <= maxReplyBytes) return true;
    }
    return this.#total === 0;
  }
}
