/** One request of a client, from the call to its end. */
import type { ShoalError } from "../../core/errors.js";
import { Link } from "../common/linked-list.js";

/** Who waits for a call. None of these may throw. */
export interface CallSink {
  /** A piece of the answer, or the last of it. */
  answer(body: Buffer[], final: boolean): void;
  failed(error: ShoalError): void;
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
  /** A piece of its answer has come. */
  begun = false;
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
    return this.retries === 0 || this.begun || this.all;
  }
}
