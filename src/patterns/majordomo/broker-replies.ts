/** What a broker sends to clients: answers, pieces, refusals, and the same again for a repetition. Each request ends here, once. */

import { Link, LinkedList } from "../../core/collections/linked-list.js";
import { FAILURES, type FailureReason } from "../kit/errors.js";
import type { MajordomoBrokerLimits } from "./broker-options.js";
import {
  answerTo,
  type BrokerEffects,
  type BrokerRequest,
  type Client,
  type SendResult,
  Stage,
} from "./broker-tables.js";
import type { RequestMemory } from "./request-memory.js";
import { type Answer, Body, Dialect, type Refusal, type Request } from "./wire.js";

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
  #unsentFailures: { readonly client: Buffer; readonly refusal: Refusal }[] = [];
  /** What waits for clients. */
  readonly backlog: ClientBacklog;

  constructor(limits: MajordomoBrokerLimits, effects: BrokerEffects, memory: RequestMemory) {
    this.#limits = limits;
    this.#effects = effects;
    this.#memory = memory;
    this.backlog = new ClientBacklog(limits, effects.queuedBytes);
  }

  /** Whether failures wait that clients had no room for. */
  get hasUnsentFailures(): boolean {
    return this.#unsentFailures.length > 0;
  }

  /** Sends the failures that clients had no room for. */
  retry(): void {
    this.#unsentFailures = this.#unsentFailures.filter(
      ({ client, refusal }) => this.#effects.send(client, refusal) === "full",
    );
  }

  /** Refuses what was not taken in. */
  refuse(client: Buffer, { dialect, id, service }: Request, reason: FailureReason): void {
    this.counters.failed += 1;
    this.#effects.event({ type: "request:failed", service: service.toString(), reason });
    if (dialect !== Dialect.Shoal && !this.#limits.plainErrors) return;
    const text = FAILURES[reason];
    this.#effects.send(client, { kind: "error", dialect, id, service, reason, text, details: undefined });
  }

  /** Reports to a client of shoal's, once for each change, whether a worker offers what its request waits for. */
  noWorkers(request: BrokerRequest, noWorkers: boolean): void {
    const { id, client, abandoned } = request;
    if (request.noWorkers === noWorkers || id === undefined) return;
    request.noWorkers = noWorkers;
    if (!abandoned) this.#effects.send(client, { kind: "waiting", id, noWorkers });
  }

  /** The broker's own answer. */
  own(client: Buffer, { dialect, id, service }: Request, frames: readonly Buffer[]): void {
    const body = Body.of(frames);
    if (this.backlog.take(client, body.cost)) {
      const answer: Answer = { kind: "answer", dialect, id, service, final: true, pieces: 0, body };
      if (this.#effects.send(client, answer) === "gone") this.backlog.left(client);
    } else if (dialect === Dialect.Shoal || this.#limits.plainErrors) {
      const [reason, text] = ["slow-reader", FAILURES["slow-reader"]] as const;
      this.#effects.send(client, { kind: "error", dialect, id, service, reason, text, details: undefined });
    }
  }

  /** Answers that could not be sent at the end of a turn. */
  unanswered(client: Buffer, answers: readonly Answer[], sent: SendResult): void {
    if (sent === "gone") this.backlog.left(client);
    for (const { service } of answers) this.#dropped(service.toString(), sent);
  }

  answer(request: BrokerRequest, body: Body): void {
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
    const whole = joined === undefined ? body : Body.of([...joined, ...body.frames]);
    const { cost } = whole;
    if (!this.backlog.take(request.client, cost)) {
      this.#dropped(request.service.name, "full");
      this.fail(request, "slow-reader");
      return;
    }
    this.counters.answered += 1;
    this.#send(request, true, whole);
    // Pieces are not kept: what was passed on cannot be repeated.
    if (request.memory !== undefined) {
      if (request.passedOn > 0) this.#memory.forget(request);
      else if (this.#memory.keep(request, cost)) request.answer = whole;
    }
    request.finish();
  }

  /** A piece of an answer. @returns what became of it: `gone`, the client is; a reason, it broke the answer off */
  piece(request: BrokerRequest, body: Body): "passed" | "gone" | FailureReason {
    if (request.abandoned || request.broken !== undefined) return "passed";
    const { cost } = body;
    if (request.dialect === Dialect.Mdp01) {
      request.joinedBytes += cost;
      if (request.joinedBytes <= this.#limits.maxJoinedBytes) {
        request.joined ??= [];
        body.addTo(request.joined);
        return "passed";
      }
      request.joined = undefined;
      return "too-large";
    }
    if (!this.backlog.take(request.client, cost)) {
      this.#dropped(request.service.name, "full");
      return "slow-reader";
    }
    const sent = this.#send(request, false, body);
    if (sent === "full") return "slow-reader";
    request.passedOn += 1;
    return sent === "gone" ? "gone" : "passed";
  }

  /** An answer in pieces is broken off: the client gets the error now, and the request ends when its worker does. */
  breakOff(request: BrokerRequest, reason: FailureReason): void {
    request.broken = reason;
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
    this.#failed(request, reason);
    this.#sendFailure(request, reason, text, details);
    request.failure = details === undefined ? [reason, text] : [reason, text, details];
    if (request.memory !== undefined) this.#memory.keep(request, text.length + (details?.length ?? 0));
    request.finish();
  }

  /** It has come to its end, and the client does not want it. */
  abandoned(request: BrokerRequest): void {
    this.counters.abandoned += 1;
    this.#memory.forget(request);
    request.finish();
  }

  /**
   * A known request came again: the client gets the same answer when it is there.
   *
   * @param from where the client is now
   * @returns whether what is in flight is of no use to it
   */
  repeat(known: BrokerRequest, from: Buffer, owner: Client | undefined): boolean {
    this.duplicate(known.service.name);
    const moved = !known.client.equals(from);
    known.client = from;
    if (known.stage !== Stage.Done) {
      if (moved && known.passedOn > 0) {
        // Pieces went to where the client was: what follows would not be the whole.
        this.#effects.send(from, refusalOf(known, "duplicate", MIDWAY));
        return true;
      }
      known.owner = owner;
    } else if (known.answer !== undefined) {
      if (this.backlog.take(from, known.keptBytes)) this.#send(known, true, known.answer);
      else {
        this.#dropped(known.service.name, "full");
        this.#effects.send(from, refusalOf(known, "slow-reader", FAILURES["slow-reader"]));
      }
    } else {
      const [reason, text, details] = known.failure ?? (["duplicate", FAILURES.duplicate] as const);
      this.#effects.send(from, refusalOf(known, reason, text, details));
    }
    return false;
  }

  duplicate(service: string): void {
    this.counters.duplicates += 1;
    this.#effects.event({ type: "request:repeated", service });
  }

  /** Reports that an answer does not come. */
  #sendFailure(request: BrokerRequest, reason: string, text: string, details?: Buffer): void {
    const { client, dialect } = request;
    if (dialect !== Dialect.Shoal && !this.#limits.plainErrors) return;
    const refusal = refusalOf(request, reason, text, details);
    if (this.#effects.send(client, refusal) === "full" && this.#unsentFailures.length < MAX_UNSENT_FAILURES)
      this.#unsentFailures.push({ client, refusal });
  }

  #send(request: BrokerRequest, final: boolean, body: Body): SendResult {
    const { client, service } = request;
    const sent = this.#effects.send(client, answerTo(request, final, body));
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

  /** An answer that was broken off has come to its end. */
  #endBroken(request: BrokerRequest): void {
    this.#failed(request, request.broken as FailureReason);
    this.#memory.forget(request);
    request.finish();
  }
}

function refusalOf(
  { dialect, id, service }: BrokerRequest,
  reason: string,
  text: string,
  details?: Buffer,
): Refusal {
  return { kind: "error", dialect, id, service: service.frame, reason, text, details };
}

/** Clients that are looked at again for one answer when all of them together are at the bound. */
const MAX_LOOKS = 64;

/** Bytes that wait for a plain client from which on pieces for it are not asked for, until it has read some. */
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
