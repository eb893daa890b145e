/**
 * What a broker tells clients: answers and their pieces, refusals, and the same
 * again for a repetition. Each request ends here, once.
 */
import { FAILURES, type FailureReason } from "../common/service-error.js";
import type { BrokerLimits } from "./broker-options.js";
import type { BrokerOutbox } from "./broker-outbox.js";
import { type BrokerRequest, type Client, type Group, Stage } from "./broker-tables.js";
import { answer, oneAnswer, refusal, waiting } from "./messages-broker.js";
import { bytesOf, Dialect, EMPTY } from "./protocol.js";
import type { RequestCommand } from "./protocol-broker.js";
import type { RequestMemory } from "./request-memory.js";

const MIDWAY = "A part of the answer went to a connection that is gone.";

const NONE: readonly Buffer[] = [];

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

  constructor(limits: BrokerLimits, outbox: BrokerOutbox, memory: RequestMemory) {
    this.#limits = limits;
    this.#outbox = outbox;
    this.#memory = memory;
  }

  /** Refuses what was not taken in. */
  refuse(client: Buffer, command: RequestCommand, reason: FailureReason): void {
    const { dialect, head, service } = command;
    this.counters.failed += 1;
    this.#outbox.event({ type: "request:failed", service: service.toString(), reason });
    if (dialect !== Dialect.Shoal && !this.#limits.plainErrors) return;
    this.#outbox.send(refusal({ client, dialect, head }, service, reason, FAILURES[reason]));
  }

  /** Tells a client of shoal's, once for each change, whether anybody offers what its request waits for. */
  unserved(request: BrokerRequest, unserved: boolean): void {
    if (request.unserved === unserved || request.dialect !== Dialect.Shoal) return;
    request.unserved = unserved;
    if (!request.abandoned) this.#outbox.send(waiting(request, unserved));
  }

  /** @param frames the body begins at `at` */
  answer(request: BrokerRequest, frames: readonly Buffer[], at: number): void {
    request.service.replies += 1;
    if (request.abandoned) {
      this.abandoned(request);
      return;
    }
    if (request.joinedBytes > this.#limits.maxJoinedBytes) {
      this.fail(request, "too-large");
      return;
    }
    this.counters.answered += 1;
    const { joined } = request;
    const whole = joined === undefined ? frames : [...joined, ...frames.slice(at)];
    const start = joined === undefined ? at : 0;
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

  /** A piece of an answer. @returns whether there is still somebody to have it */
  piece(request: BrokerRequest, frames: readonly Buffer[], at: number): boolean {
    if (request.abandoned) return true;
    if (request.dialect === Dialect.Mdp01 || request.group !== undefined) {
      request.joinedBytes += bytesOf(frames, at);
      if (request.joinedBytes <= this.#limits.maxJoinedBytes) {
        request.joined ??= [];
        for (let i = at; i < frames.length; i++) request.joined.push(frames[i] as Buffer);
      } else request.joined = undefined;
      return true;
    }
    request.passedOn += 1;
    return this.#send(request, false, frames, at);
  }

  /** There will be no answer. */
  fail(request: BrokerRequest, reason: FailureReason, text: string = FAILURES[reason]): void {
    if (request.abandoned) {
      this.abandoned(request);
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
    if (request.dialect === Dialect.Shoal || this.#limits.plainErrors) {
      this.#outbox.send(refusal(request, service.frame, reason, text));
    }
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
    } else if (known.answer !== undefined) this.#send(known, true, known.answer, known.answerAt);
    else {
      const [reason, text] = known.failure ?? ["duplicate", FAILURES.duplicate];
      this.#outbox.send(refusal(known, known.service.frame, reason, text));
    }
    return false;
  }

  duplicate(service: string): void {
    this.counters.duplicates += 1;
    this.#outbox.event({ type: "request:duplicate", service });
  }

  #send(request: BrokerRequest, final: boolean, frames: readonly Buffer[], at: number): boolean {
    const { service } = request;
    const sent = this.#outbox.send(answer(request, final, service.frame, frames, at));
    if (sent === "sent") return true;
    this.counters.repliesDropped += 1;
    const reason = sent === "gone" ? "client-gone" : "client-full";
    this.#outbox.event({ type: "reply:dropped", service: service.name, reason });
    return false;
  }

  /** One of the asked is through. */
  #member(request: BrokerRequest, group: Group, ok: boolean, body: readonly (Buffer | string)[]): void {
    this.#outbox.send(oneAnswer(group, request.worker?.name ?? "", ok, body));
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
