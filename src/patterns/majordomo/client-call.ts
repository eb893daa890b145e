/** One request of a client, from the call to its end. */

import { Link } from "../../core/collections/linked-list.js";
import type { ShoalError } from "../../core/errors.js";

/** What became of a piece: its reader has it, or will read it later; or there is no room for it. */
export type Taken = "read" | "kept" | "refused";

/** Who waits for a call. None of these may throw. */
export interface CallSink {
  /** A piece of the answer, or the last of it, which is never refused. */
  answer(body: Buffer[], final: boolean): Taken;
  /** Whether pieces wait to be read: the time for the next one does not run meanwhile. */
  readonly unread?: boolean;
  /** @param closing the program closes its client: a caller that does not look at its promise is no error then */
  failed(error: ShoalError, closing?: boolean): void;
  /** Request-many: who was asked, and what each says; `answer` with `final` is the end. */
  asked?(workers: readonly string[]): void;
  one?(worker: string, ok: boolean, body: Buffer[]): void;
}

/** A service as its client knows it. */
export interface AskedService {
  readonly name: string;
  /** The name's bytes. */
  readonly frame: Buffer;
  /** What its requests' heads begin as (heads.ts). */
  readonly template: Buffer;
}

/** How a service is asked. */
export interface CallTerms {
  /** All its workers. */
  readonly all: boolean;
  /** ms of one attempt; 0: no limit. */
  readonly timeout: number;
  /** Attempts after the first. */
  readonly retries: number;
}

export class Call {
  readonly sequence: number;
  readonly service: AskedService;
  readonly body: readonly (Buffer | string)[];
  readonly all: boolean;
  /** ms of one attempt; 0: no limit. */
  readonly attemptTimeout: number;
  readonly sink: CallSink;
  /** Attempts that may still be made. */
  retries: number;
  /** Where it was sent to; 0: nowhere yet. */
  connection = 0;
  /** The head it was sent with last. */
  head: Buffer | undefined = undefined;
  /** Pieces of its answer that have come. */
  pieces = 0;
  /** Bytes of them. */
  pieceBytes = 0;
  /** Bytes of them that were read, and are not granted yet. */
  owed = 0;
  /** Bytes that the worker may send ahead of the reader, beyond INITIAL_CREDIT. */
  widened = 0;
  /** The broker says that no worker offers the service. */
  unserved = false;
  deadline = 0;
  readonly deadlineLink: Link<Call> = new Link<Call>(this);
  /** In the queue, or among those that are sent. */
  readonly placeLink: Link<Call> = new Link<Call>(this);

  constructor(
    sequence: number,
    service: AskedService,
    body: readonly (Buffer | string)[],
    terms: CallTerms,
    sink: CallSink,
  ) {
    this.sequence = sequence;
    this.service = service;
    this.body = body;
    this.all = terms.all;
    this.attemptTimeout = terms.timeout;
    this.sink = sink;
    this.retries = terms.retries;
  }

  /** Whether it may not be sent again: half an answer is not continued, and the asked of one broker are not another's. */
  get final(): boolean {
    return this.retries === 0 || this.pieces > 0 || this.all;
  }
}
