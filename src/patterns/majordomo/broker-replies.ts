/**
 * What a broker tells clients: answers and their pieces, refusals, and the same
 * again for a repetition. Each request ends here, once.
 */
import { FAILURES, type FailureReason } from "../kit/errors.js";
import { BrokerClientBytes } from "./broker-client-bytes.js";
import type { BrokerLimits } from "./broker-options.js";
import type { BrokerOutbox, SendResult } from "./broker-outbox.js";
import { type BrokerRequest, type Client, type Group, Stage } from "./broker-tables.js";
import { answer, type Frames, oneAnswer, refusal, waiting } from "./messages-broker.js";
import { bytesOf, Dialect, EMPTY } from "./protocol.js";
import type { RequestCommand } from "./protocol-broker.js";
import type { RequestMemory } from "./request-memory.js";
import { pieceCost } from "./stream-credit.js";

const MIDWAY = "A part of the answer went to a connection that is gone.";

const NONE: readonly Buffer[] = [];

/** Failures that are kept for clients without room; of more, their clients hear when their time is over. */
const MAX_OWED = 1_000;

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
  readonly #limits: BrokerLimits;
  readonly #outbox: BrokerOutbox;
  readonly #memory: RequestMemory;
  /** Failures that their clients have no room for: an answer in pieces must not just cease. */
  #owed: Frames[] = [];
  /** What waits for clients. */
  readonly clientBytes: BrokerClientBytes;

  constructor(limits: BrokerLimits, outbox: BrokerOutbox, memory: RequestMemory) {
    this.#limits = limits;
    this.#outbox = outbox;
    this.#memory = memory;
    this.clientBytes = new BrokerClientBytes(limits, outbox.queuedBytes);
  }

  /** Whether clients are still to be told of failures that they had no room for. */
  get owes(): boolean {
    return this.#owed.length > 0;
  }

  /** Tells clients of failures that they had no room for. */
  retry(): void {
    this.#owed = this.#owed.filter((message) => this.#outbox.send(message) === "full");
  }

  /** Refuses what was not taken in. */
  refuse(client: Buffer, command: RequestCommand, reason: FailureReason): void {
    const { dialect, head, service } = command;
    this.counters.failed += 1;
    this.#outbox.event({ type: "request:failed", service: service.toString(), reason });
    if (dialect !== Dialect.Shoal && !this.#limits.plainErrors) return;
    this.#outbox.send(refusal({ client, dialect, head }, service, reason, FAILURES[reason]));
  }

  /** Tells a client that an answer that it waits for does not come. */
  #tellFailure(request: BrokerRequest, reason: string, text: string): void {
    const message = refusal(request, request.service.frame, reason, text);
    if (this.#outbox.send(message) === "full" && this.#owed.length < MAX_OWED) this.#owed.push(message);
  }

  /** Tells a client of shoal's, once for each change, whether anybody offers what its request waits for. */
  unserved(request: BrokerRequest, unserved: boolean): void {
    if (request.unserved === unserved || request.dialect !== Dialect.Shoal) return;
    request.unserved = unserved;
    if (!request.abandoned) this.#outbox.send(waiting(request, unserved));
  }

  /** The broker's own answer. */
  own(client: Buffer, command: RequestCommand, body: readonly Buffer[]): void {
    const { dialect, head, service } = command;
    const to = { client, dialect, head };
    if (this.clientBytes.take(client, pieceCost(body))) {
      if (this.#outbox.send(answer(to, true, service, body, 0)) === "gone") this.clientBytes.left(client);
    } else if (dialect === Dialect.Shoal || this.#limits.plainErrors) {
      this.#outbox.send(refusal(to, service, "slow-reader", FAILURES["slow-reader"]));
    }
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
    if (!this.clientBytes.take(request.client, pieceCost(whole, start))) {
      this.#dropped(request, "client-full");
      this.fail(request, "slow-reader");
      return;
    }
    this.counters.answered += 1;
    if (request.group !== undefined) {
      this.#member(request, request.group, true, whole.slice(start));
      return;
    }
    this.#send(request, true, whole, start);
    // Pieces are not kept: what was passed on cannot be repeated.
    if (request.memory !== undefined) {
      if (request.passedOn > 0) this.#memory.forget(request);
      else if (this.#memory.keep(request, bytesOf(whole, start))) {
        request.answer = whole;
        request.answerAt = start;
      }
    }
    request.finish();
  }

  /** A piece of an answer. @returns what became of it: `gone`, nobody is there to have it; a reason, it broke the answer off */
  piece(request: BrokerRequest, frames: readonly Buffer[], at: number): "passed" | "gone" | FailureReason {
    if (request.abandoned || request.broken !== undefined) return "passed";
    if (request.dialect === Dialect.Mdp01 || request.group !== undefined) {
      request.joinedBytes += bytesOf(frames, at);
      if (request.joinedBytes <= this.#limits.maxJoinedBytes) {
        request.joined ??= [];
        for (let i = at; i < frames.length; i++) request.joined.push(frames[i] as Buffer);
        return "passed";
      }
      request.joined = undefined;
      return "too-large";
    }
    if (!this.clientBytes.take(request.client, pieceCost(frames, at))) {
      this.#dropped(request, "client-full");
      return "slow-reader";
    }
    const sent = this.#send(request, false, frames, at);
    if (sent === "full") return "slow-reader";
    request.passedOn += 1;
    return sent === "gone" ? "gone" : "passed";
  }

  /** An answer in pieces is broken off: the client is told now, and the request ends when its worker does. */
  breakOff(request: BrokerRequest, reason: FailureReason): void {
    request.broken = reason;
    if (request.dialect !== Dialect.Shoal && !this.#limits.plainErrors) return;
    // A part of an ask-all is told with its end.
    if (request.group !== undefined) return;
    this.#tellFailure(request, reason, FAILURES[reason]);
  }

  /** There will be no answer. */
  fail(request: BrokerRequest, reason: FailureReason, text: string = FAILURES[reason]): void {
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
    this.#outbox.event({ type: "request:failed", service: service.name, reason });
    if (request.group !== undefined) {
      this.#member(request, request.group, false, [reason, text]);
      return;
    }
    if (request.dialect === Dialect.Shoal || this.#limits.plainErrors)
      this.#tellFailure(request, reason, text);
    request.failure = [reason, text];
    if (request.memory !== undefined) this.#memory.keep(request, text.length);
    request.finish();
  }

  /** It has come to its end, and nobody wants it. */
  abandoned(request: BrokerRequest): void {
    this.counters.abandoned += 1;
    this.#memory.forget(request);
    request.finish();
    if (request.group !== undefined) this.#leave(request, request.group);
  }

  /**
   * A request that is known: the client gets the same answer, when it is there.
   *
   * @param from where the client is now
   * @returns whether what is under way is of no use to it any more
   */
  repeat(known: BrokerRequest, from: Buffer, owner: Client | undefined): boolean {
    this.duplicate(known.service.name);
    const moved = !known.client.equals(from);
    known.client = from;
    if (known.stage !== Stage.Done) {
      if (moved && known.passedOn > 0) {
        // Pieces went to where the client was: what follows would not be the whole.
        this.#outbox.send(refusal(known, known.service.frame, "duplicate", MIDWAY));
        return true;
      }
      known.owner = owner;
    } else if (known.answer !== undefined) {
      if (this.clientBytes.take(from, known.keptBytes)) this.#send(known, true, known.answer, known.answerAt);
      else {
        this.#dropped(known, "client-full");
        this.#outbox.send(refusal(known, known.service.frame, "slow-reader", FAILURES["slow-reader"]));
      }
    } else {
      const [reason, text] = known.failure ?? ["duplicate", FAILURES.duplicate];
      this.#outbox.send(refusal(known, known.service.frame, reason, text));
    }
    return false;
  }

  duplicate(service: string): void {
    this.counters.duplicates += 1;
    this.#outbox.event({ type: "request:duplicate", service });
  }

  #send(request: BrokerRequest, final: boolean, frames: readonly Buffer[], at: number): SendResult {
    const { service, passedOn } = request;
    const sent = this.#outbox.send(answer(request, final, service.frame, frames, at, passedOn));
    if (sent === "gone") this.clientBytes.left(request.client);
    if (sent !== "sent") this.#dropped(request, sent === "gone" ? "client-gone" : "client-full");
    return sent;
  }

  #dropped(request: BrokerRequest, reason: "client-gone" | "client-full"): void {
    this.counters.repliesDropped += 1;
    this.#outbox.event({ type: "reply:dropped", service: request.service.name, reason });
  }

  /** An answer that was broken off has come to its end. */
  #endBroken(request: BrokerRequest): void {
    const { service, broken } = request;
    const reason = broken as FailureReason;
    this.counters.failed += 1;
    service.failures += 1;
    this.#outbox.event({ type: "request:failed", service: service.name, reason });
    this.#memory.forget(request);
    if (request.group !== undefined) this.#member(request, request.group, false, [reason, FAILURES[reason]]);
    else request.finish();
  }

  /** One of the asked is through. */
  #member(request: BrokerRequest, group: Group, ok: boolean, body: readonly (Buffer | string)[]): void {
    const sent = this.#outbox.send(oneAnswer(group, request.worker?.name ?? "", ok, body));
    if (sent === "gone") this.clientBytes.left(group.client);
    request.finish();
    this.#leave(request, group);
  }

  #leave(request: BrokerRequest, group: Group): void {
    group.open.delete(request);
    request.group = undefined;
    if (group.open.size > 0 || request.abandoned) return;
    this.#outbox.send(answer(group, true, EMPTY, NONE, 0));
  }
}
