/** Answers, pieces and refusals of a broker. Each request ends here, once. */

import { type FailureReason, failure, type HandlerFailure } from "../../kit/errors.js";
import type { DeliveryResult } from "../../sockets/index.js";
import { MAX_BATCH_BODY } from "./batch.js";
import type { MajordomoBrokerLimits } from "./broker-options.js";
import { type BrokerEffects, type BrokerRequest, type Client, Stage } from "./broker-tables.js";
import { type Addressed, type Answer, Body, Dialect, NO_BODY, newAnswer, type Request } from "./protocol.js";
import type { RequestMemory } from "./request-memory.js";

const MIDWAY = failure("duplicate", "A part of the answer went to a connection that is gone.");

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
  readonly #answer = newAnswer();

  constructor(limits: MajordomoBrokerLimits, effects: BrokerEffects, memory: RequestMemory) {
    this.#limits = limits;
    this.#effects = effects;
    this.#memory = memory;
  }

  refuse(client: Buffer, asked: Request, reason: FailureReason): void {
    this.counters.failed += 1;
    this.#effects.event({ type: "request:failed", service: asked.service.toString(), reason });
    this.#sendError(client, addressOf(asked), failure(reason));
  }

  /** Answers for one of the broker's own services. */
  own(client: Buffer, asked: Request, frames: readonly Buffer[]): void {
    const body = Body.of(frames);
    const service = asked.service.toString();
    if (!this.#takes(client, body)) {
      this.#dropped(service, "full");
      this.#sendError(client, addressOf(asked), failure("slow-reader"));
      return;
    }
    const answer: Answer = { kind: "answer", ...addressOf(asked), final: true, pieces: 0, body };
    const sent = this.#effects.toClient(client, answer);
    if (sent === "full") this.#dropped(service, sent);
  }

  /** Of one service. */
  unanswered({ address }: Answer, count: number, sent: DeliveryResult): void {
    for (let i = 0; i < count; i++) this.#dropped(String(address[0]), sent);
  }

  answer(request: BrokerRequest, body: Body): void {
    request.service.replies += 1;
    if (request.over !== undefined) {
      this.ended(request);
      return;
    }
    const { cost } = body;
    if (!this.#takes(request.client, body)) {
      this.#dropped(request.service.name, "full");
      this.fail(request, failure("slow-reader"));
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
    if (!this.#hasRoom(request.client, body.cost)) {
      this.#dropped(request.service.name, "full");
      return "slow-reader";
    }
    const sent = this.#send(request, false, body);
    if (sent === "full") return "slow-reader";
    request.passedOn += 1;
    return sent === "gone" ? "gone" : "passed";
  }

  /** The client gets the error now; the request ends with its worker. */
  breakOff(request: BrokerRequest, failed: HandlerFailure): void {
    request.over = failed.reason;
    this.#sendFailure(request, failed);
  }

  fail(request: BrokerRequest, failed: HandlerFailure): void {
    if (request.over !== undefined) {
      this.ended(request);
      return;
    }
    const { reason, text, details } = failed;
    this.#failed(request, reason);
    this.#sendFailure(request, failed);
    request.failure = failed;
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
        this.#sendFailure(known, MIDWAY);
        return true;
      }
      known.owner = owner;
      // The worker's end will bring it nothing.
      if (known.over !== undefined) this.#sendFailure(known, failure(known.over as FailureReason));
    } else if (known.answer !== undefined) this.#repeatAnswer(known, known.answer);
    else this.#sendFailure(known, known.failure ?? failure("duplicate"));
    return false;
  }

  #repeatAnswer(known: BrokerRequest, answer: Body): void {
    if (this.#takes(known.client, answer)) {
      this.#send(known, true, answer);
      return;
    }
    this.#dropped(known.service.name, "full");
    this.#sendFailure(known, failure("slow-reader"));
  }

  #sendFailure(request: BrokerRequest, failed: HandlerFailure): void {
    const { client, dialect, sequence: number, service } = request;
    const { address, name } = service;
    const sent = this.#sendError(client, { dialect, number, address }, failed);
    if (sent === "full") this.#dropped(name, sent);
  }

  #sendError(client: Buffer, to: Addressed, failed: HandlerFailure): DeliveryResult {
    if (to.dialect !== Dialect.Shoal && !this.#limits.plainErrors) return "sent";
    return this.#effects.toClient(client, { kind: "failure", ...to, ...failed });
  }

  #send(request: BrokerRequest, final: boolean, body: Body): DeliveryResult {
    const { service } = request;
    const answer = this.#answer;
    answer.dialect = request.dialect;
    answer.number = request.sequence;
    answer.address = service.address;
    answer.final = final;
    answer.pieces = request.passedOn;
    answer.body = body;
    const sent = this.#effects.toClient(request.client, answer);
    answer.body = NO_BODY;
    if (sent !== "sent") this.#dropped(service.name, sent);
    return sent;
  }

  /** Small answers leave in batches, which the socket's high-water mark bounds. */
  #takes(client: Buffer, { cost }: Body): boolean {
    return cost <= MAX_BATCH_BODY || this.#hasRoom(client, cost);
  }

  #hasRoom(client: Buffer, bytes: number): boolean {
    const queued = this.#effects.queuedBytes(client);
    return queued === 0 || queued + bytes <= this.#limits.maxClientBytes;
  }

  #dropped(service: string, sent: DeliveryResult): void {
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

function addressOf({ dialect, sequence: number, service }: Request): Addressed {
  return { dialect, number, address: [service] };
}
