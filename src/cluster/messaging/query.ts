/**
 * A query: services are asked, and each ends in exactly one of these: it answered, it failed, or it is missing.
 *
 *   asked ──answer──> replies          asked ──failure, gone, not sent──> failed          asked ──timeout, cancelled──> missing
 *
 * `PendingQueries` has those that wait; it knows which response is late, double or of somebody who was not asked.
 */
import { InvalidStateError, ShoalError } from "../../core/errors.js";
import { ignore } from "../../core/ignore.js";
import { type CallTerms, type PendingCall, PendingCalls } from "../../patterns/kit/calls.js";
import type { Member } from "../node/member.js";
import { MAX_AWAITED, MAX_QUERIES } from "./bounds.js";

/** Why a service did not answer, as it or its node reported it. */
export type QueryFailureReason =
  | "no-handler"
  | "handler-failed"
  | "vetoed"
  | "overloaded"
  | "too-large"
  | "unread";

export const QUERY_FAILURES: Readonly<Record<QueryFailureReason, string>> = {
  "no-handler": "no handler answers queries on this channel",
  "handler-failed": "the handler failed",
  vetoed: "a hook vetoed the query",
  overloaded: "too many queries are being answered",
  "too-large": "the answer is larger than a message may be",
  unread: "the answer was dropped: too many bytes of answers wait to be read",
};

/** The `service` was asked and did not answer; `reason` says why. Code `ERR_SERVICE`. */
export class QueryError extends ShoalError {
  readonly reason: QueryFailureReason;
  /** The name of the service. */
  readonly service: string;

  /** @internal */
  constructor(reason: QueryFailureReason, service: string, text = "") {
    super("ERR_SERVICE", `${service}: ${QUERY_FAILURES[reason]}${text === "" ? "" : `: ${text}`}`);
    this.reason = reason;
    this.service = service;
  }
}

/** A service answered. A text and bytes are two things. */
export interface QueryReply {
  readonly service: Member;
  readonly data: string | Buffer;
  readonly error?: undefined;
}

/** A service did not answer, and it is known why. */
export interface QueryFailure {
  readonly service: Member;
  readonly data?: undefined;
  /** QueryError `ERR_SERVICE`; UnroutableError `EHOSTUNREACH` for one that is gone; VetoError `ERR_VETOED`; ClosedError `EAGAIN` for a full link. */
  readonly error: ShoalError;
}

/** What a query gives, one for each service that responded. */
export type QueryResponse = QueryReply | QueryFailure;

/** All that came of a query. Each service that was asked is in one of these. */
export interface QueryResults {
  readonly replies: readonly QueryReply[];
  readonly failed: readonly QueryFailure[];
  /** Those that had not responded at the end. */
  readonly missing: readonly Member[];
}

/** How a query ended: all responded; time ran out; or the program stopped reading, aborted it, or closed the bus. */
export type QueryEnd = "done" | "timeout" | "cancelled";

/**
 * A query under way. Read it with `for await`, or with `collect`; one of them, once. Leaving the loop ends the query.
 *
 * @example
 * ```ts
 * import { ClusterNode } from "shoal/cluster";
 *
 * const group = `query-${process.pid}`; // Default: "default", the same for every program of this host.
 * const [mill, farm] = ["mill", "farm"].map((name) => new ClusterNode({ name, group }));
 * await Promise.all([mill.start(), farm.start()]);
 * mill.onQuery(({ data }) => `the mill has ${data}`);
 * while (farm.members({ self: false }).length < 1) await new Promise((resolve) => farm.events.once("joined", resolve));
 * const { replies } = await farm.query({ resolve: "localhost", data: "flour" }).collect();
 * console.log(String(replies[0].data)); // the mill has flour
 * await Promise.all([mill.close(), farm.close()]);
 * ```
 */
export class Query implements AsyncIterable<QueryResponse> {
  /** The `ruid` that the handlers see. */
  readonly id: string;
  /** Who was asked. */
  readonly services: readonly Member[];
  readonly #waiting: Map<string, Member>;
  readonly #maxBytes: number;
  readonly #onEnd: (query: Query) => void;
  #unread: QueryResponse[] = [];
  #unreadBytes = 0;
  #ended: QueryEnd | undefined;
  #isRead = false;
  /** The reader wants all at the end: it is not woken for each. */
  #isCollected = false;
  #wake: (() => void) | undefined;

  /** @internal */
  constructor(id: string, services: readonly Member[], maxBytes: number, onEnd: (query: Query) => void) {
    this.id = id;
    this.services = services;
    this.#maxBytes = maxBytes;
    this.#onEnd = onEnd;
    this.#waiting = new Map(services.map((service) => [service.id, service]));
  }

  /** How it ended; `undefined` while services are waited for. */
  get ended(): QueryEnd | undefined {
    return this.#ended;
  }

  /** Those that have not responded. */
  get missing(): Member[] {
    return [...this.#waiting.values()];
  }

  /** @internal Whether this service was asked and has not responded. */
  awaits(id: string): boolean {
    return this.#waiting.has(id);
  }

  /** Ends it: nobody is waited for any more. */
  cancel(): void {
    this.end("cancelled");
  }

  /**
   * Waits for the end.
   *
   * @throws InvalidStateError `EFSM` for a query that is read already
   */
  async collect(): Promise<QueryResults> {
    const replies: QueryReply[] = [];
    const failed: QueryFailure[] = [];
    this.#beginRead();
    this.#isCollected = true;
    while (this.#ended === undefined) await this.#changed();
    for (const response of this.#unread.splice(0))
      if (response.error === undefined) replies.push(response);
      else failed.push(response);
    return { replies, failed, missing: this.missing };
  }

  /** @throws InvalidStateError `EFSM` for a query that is read already */
  async *[Symbol.asyncIterator](): AsyncGenerator<QueryResponse, void, undefined> {
    this.#beginRead();
    try {
      for (;;) {
        const unread = this.#unread;
        this.#unread = [];
        for (const response of unread) {
          this.#unreadBytes -= sizeOf(response);
          yield response;
        }
        if (this.#unread.length > 0) continue;
        if (this.#ended !== undefined) return;
        await this.#changed();
      }
    } finally {
      this.end("cancelled");
    }
  }

  /** @internal A service responded. @returns whether it was awaited */
  respond(response: QueryResponse): boolean {
    if (this.#ended !== undefined || !this.#waiting.delete(response.service.id)) return false;
    const size = sizeOf(response);
    if (this.#unreadBytes + size > this.#maxBytes)
      this.#unread.push({
        service: response.service,
        error: new QueryError("unread", response.service.name),
      });
    else {
      this.#unread.push(response);
      this.#unreadBytes += size;
    }
    if (this.#waiting.size === 0) this.end("done");
    else if (!this.#isCollected) this.#wake?.();
    return true;
  }

  /** @internal */
  end(how: QueryEnd): void {
    if (this.#ended !== undefined) return;
    this.#ended = how;
    this.#onEnd(this);
    this.#wake?.();
  }

  #beginRead(): void {
    if (this.#isRead) throw new InvalidStateError("EFSM", "a query is read once");
    this.#isRead = true;
  }

  #changed(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        resolve();
      };
    });
  }
}

function sizeOf({ data }: QueryResponse): number {
  return data === undefined ? 0 : typeof data === "string" ? 2 * data.length : data.length;
}

/** Why a response is dropped: its query has ended; its service responded before; it was not asked. */
export type StrayReply = "late" | "double" | "foreign";

/** The queries of a bus that wait, by the number that they have on the wire. */
export class PendingQueries {
  /** Their bounds, time limits and signals. What counts for bytes there are the responses that they wait for. */
  readonly #calls = new PendingCalls({ maxPending: MAX_QUERIES, maxPendingBytes: MAX_AWAITED });
  readonly #queries = new Map<number, { readonly query: Query; readonly call: PendingCall<void> }>();
  #last: number;
  readonly #first: number;

  /** @param first a number above all that a former life of this node has used, or a random one */
  constructor(first: number) {
    this.#first = first;
    this.#last = first;
  }

  get size(): number {
    return this.#calls.size;
  }

  /** Responses that are waited for. */
  get awaited(): number {
    return this.#calls.bytes;
  }

  /** The number on the wire of the query that is added next. */
  take(): number {
    this.#last += 1;
    return this.#last;
  }

  /** @throws InvalidStateError `ERR_TOO_MANY_PENDING`; InvalidArgumentError `EINVAL` for the timeout or the signal */
  add(number: number, query: Query, terms: CallTerms = {}): void {
    const onGivenUp = (why: "timeout" | "aborted"): void =>
      query.end(why === "timeout" ? "timeout" : "cancelled");
    const call = this.#calls.add<void>(query.services.length, { ...terms, onGivenUp });
    call.promise.catch(ignore); // The query has its end.
    this.#queries.set(number, { query, call });
  }

  /** A query has ended. */
  remove(number: number): void {
    this.#queries.get(number)?.call.resolve();
    this.#queries.delete(number);
  }

  /** The query that a response is for, or why there is none. */
  find(from: string, number: number): Query | StrayReply {
    const query = this.#queries.get(number)?.query;
    if (query === undefined) return number > this.#first && number <= this.#last ? "late" : "foreign";
    if (query.awaits(from)) return query;
    return query.services.some(({ id }) => id === from) ? "double" : "foreign";
  }

  /** A service is gone: no query waits for it any more. */
  onGone(id: string, failure: (service: Member) => QueryFailure): void {
    for (const { query } of [...this.#queries.values()]) {
      if (!query.awaits(id)) continue;
      const service = query.services.find((each) => each.id === id) as Member;
      query.respond(failure(service));
    }
  }

  close(): void {
    for (const { query } of [...this.#queries.values()]) query.cancel();
  }
}
