/**
 * A query to members. Each of them ends in one of: answered, failed, missing.
 *
 *   asked ──answer──> replies          asked ──failure, gone, not sent──> failed          asked ──timeout, cancelled──> missing
 *
 * Late, duplicate and unrequested responses are dropped.
 */
import { NumberTable } from "../../core/collections/number-table.js";
import { RingBuffer } from "../../core/collections/queues.js";
import { InvalidStateError, ShoalError } from "../../core/errors.js";
import { IdleWaits, ignore } from "../../core/waiter.js";
import { type CallTerms, type PendingCall, PendingCalls } from "../../kit/calls.js";
import type { Member } from "../node/member.js";

export const QUERY_FAILURES = {
  "no-handler": "no handler answers queries on this channel",
  "handler-failed": "the handler failed",
  vetoed: "a hook vetoed the query",
  overloaded: "too many queries are being answered",
  "too-large": "the answer is larger than a message may be",
  unread: "the answer was dropped: too many bytes of answers wait to be read",
};
export type QueryFailureReason = keyof typeof QUERY_FAILURES;

/** The `member` did not answer, for the `reason`. Code `ERR_SERVICE`. */
export class QueryError extends ShoalError {
  readonly reason: QueryFailureReason;
  readonly member: string;

  /** @internal */
  constructor(reason: QueryFailureReason, member: string, text = "") {
    super("ERR_SERVICE", `${member}: ${QUERY_FAILURES[reason]}${text === "" ? "" : `: ${text}`}`);
    this.reason = reason;
    this.member = member;
  }
}

export interface QueryReply {
  readonly member: Member;
  readonly data: string | Buffer;
  readonly error?: undefined;
}

export interface QueryFailure {
  readonly member: Member;
  readonly data?: undefined;
  /**
   * QueryError `ERR_SERVICE`; UnroutableError `EHOSTUNREACH`: gone; VetoError `ERR_VETOED`; TimeoutError `EAGAIN`: a full
   * link.
   */
  readonly error: ShoalError;
}

export type QueryResponse = QueryReply | QueryFailure;

/** Each queried member is in one of these lists. */
export interface QueryResults {
  readonly replies: readonly QueryReply[];
  readonly failed: readonly QueryFailure[];
  readonly missing: readonly Member[];
}

/** `cancelled`: the program stopped reading, aborted the query, or closed the node. */
export type QueryEnd = "done" | "timeout" | "cancelled";

/**
 * A query in flight. Read it once, with `for await` or `collect`. Leaving the loop ends the query.
 *
 * @example
 * ```ts
 * import { ClusterNode } from "shoal/cluster";
 *
 * const cluster = `query-${process.pid}`; // Default: "default", the same for every program of this host.
 * const [mill, farm] = ["mill", "farm"].map((name) => new ClusterNode({ name, cluster }));
 * await Promise.all([mill.start(), farm.start()]);
 * mill.onQuery(({ data }) => `the mill has ${data}`);
 * while (farm.members({ self: false }).length < 1) await new Promise((resolve) => farm.events.once("joined", resolve));
 * const { replies } = await farm.query({ resolve: "localhost", data: "flour" }).collect();
 * console.log(String(replies[0].data)); // the mill has flour
 * await Promise.all([mill.close(), farm.close()]);
 * ```
 */
export class Query implements AsyncIterable<QueryResponse> {
  /** The `ruid` for the handlers. */
  readonly id: string;
  readonly members: readonly Member[];
  readonly #waiting: Map<string, Member>;
  readonly #maxBytes: number;
  readonly #onEnd: (query: Query) => void;
  readonly #unread = new RingBuffer<QueryResponse>();
  #unreadBytes = 0;
  #ended: QueryEnd | undefined;
  #isRead = false;
  readonly #changes = new IdleWaits();
  /** @internal Pending until the end. */
  call: PendingCall<void> | undefined;

  /** @internal */
  constructor(id: string, members: readonly Member[], maxBytes: number, onEnd: (query: Query) => void) {
    this.id = id;
    this.members = members;
    this.#maxBytes = maxBytes;
    this.#onEnd = onEnd;
    this.#waiting = new Map(members.map((member) => [member.id, member]));
  }

  /** Its end; `undefined` while it waits. */
  get ended(): QueryEnd | undefined {
    return this.#ended;
  }

  get missing(): Member[] {
    return [...this.#waiting.values()];
  }

  /** @internal */
  awaits(id: string): boolean {
    return this.#waiting.has(id);
  }

  cancel(): void {
    this.end("cancelled");
  }

  /** Waits for the end. @throws InvalidStateError `EFSM` for a query that is being read */
  async collect(): Promise<QueryResults> {
    const replies: QueryReply[] = [];
    const failed: QueryFailure[] = [];
    this.#beginRead();
    while (this.#ended === undefined) await this.#changes.wait(false);
    for (let next = this.#unread.shift(); next !== undefined; next = this.#unread.shift())
      if (next.error === undefined) replies.push(next);
      else failed.push(next);
    return { replies, failed, missing: this.missing };
  }

  /** @throws InvalidStateError `EFSM` for a query that is being read */
  async *[Symbol.asyncIterator](): AsyncGenerator<QueryResponse, void, undefined> {
    this.#beginRead();
    try {
      for (;;) {
        const response = this.#unread.shift();
        if (response !== undefined) {
          this.#unreadBytes -= sizeOf(response.data);
          yield response;
        } else if (this.#ended !== undefined) return;
        else await this.#changes.wait(false);
      }
    } finally {
      this.end("cancelled");
    }
  }

  /** @internal Adds a response. @returns whether it was awaited */
  respond(response: QueryResponse): boolean {
    if (this.#ended !== undefined || !this.#waiting.delete(response.member.id)) return false;
    const size = sizeOf(response.data);
    if (this.#unreadBytes + size > this.#maxBytes)
      this.#unread.push({
        member: response.member,
        error: new QueryError("unread", response.member.name),
      });
    else {
      this.#unread.push(response);
      this.#unreadBytes += size;
    }
    if (this.#waiting.size === 0) this.end("done");
    else this.#changes.end();
    return true;
  }

  /** @internal */
  end(how: QueryEnd): void {
    if (this.#ended !== undefined) return;
    this.#ended = how;
    this.#onEnd(this);
    this.#changes.end();
  }

  #beginRead(): void {
    if (this.#isRead) throw new InvalidStateError("EFSM", "a query is read once");
    this.#isRead = true;
  }
}

export function sizeOf(data: string | Buffer | undefined): number {
  return data === undefined ? 0 : typeof data === "string" ? 2 * data.length : data.length;
}

/** By their number on the wire. */
export class PendingQueries {
  /** Awaited responses count as bytes. */
  readonly #calls = new PendingCalls({ maxPending: 1_024, maxPendingBytes: 65_536 });
  readonly #queries = new NumberTable<Query>();
  #last: number;

  constructor(first: number) {
    this.#last = first;
  }

  get size(): number {
    return this.#calls.size;
  }

  get awaited(): number {
    return this.#calls.bytes;
  }

  take(): number {
    this.#last += 1;
    return this.#last;
  }

  /** @throws InvalidStateError `ERR_TOO_MANY_PENDING`; InvalidArgumentError `EINVAL` for the timeout or the signal */
  add(number: number, query: Query, terms: CallTerms = {}): void {
    const onGivenUp = (why: "timeout" | "aborted"): void =>
      query.end(why === "timeout" ? "timeout" : "cancelled");
    query.call = this.#calls.add<void>(query.members.length, { ...terms, onGivenUp });
    query.call.promise.catch(ignore);
    this.#queries.set(number, query);
  }

  remove(number: number): void {
    this.#queries.get(number)?.call?.resolve();
    this.#queries.delete(number);
  }

  /** @returns the query that waits for a member's response */
  find(from: string, number: number): Query | undefined {
    const query = this.#queries.get(number);
    return query?.awaits(from) === true ? query : undefined;
  }

  /** A member is gone: queries stop waiting for it. */
  onGone(id: string, failure: (member: Member) => QueryFailure): void {
    for (const query of this.#queries.values())
      for (const member of query.missing) if (member.id === id) query.respond(failure(member));
  }

  close(): void {
    for (const query of this.#queries.values()) query.cancel();
  }
}
