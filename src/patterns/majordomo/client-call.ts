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

export class Call {
  readonly sequence: number;
  readonly id: Buffer;
  readonly service: Buffer;
  readonly body: readonly (Buffer | string)[];
  readonly all: boolean;
  /** ms of one attempt; 0: no limit. */
  readonly attemptTimeout: number;
  readonly sink: CallSink;
  /** Attempts that may still be made. */
  retries: number;
  /** Where it was sent to; 0: nowhere yet. */
  connection = 0;
  /** A piece of its answer has come. */
  begun = false;
  deadline = 0;
  readonly deadlineLink: Link<Call> = new Link<Call>(this);
  /** In the queue, or among those that are sent. */
  readonly placeLink: Link<Call> = new Link<Call>(this);

  constructor(
    sequence: number,
    id: Buffer,
    service: Buffer,
    body: readonly (Buffer | string)[],
    all: boolean,
    attemptTimeout: number,
    retries: number,
    sink: CallSink,
  ) {
    this.sequence = sequence;
    this.id = id;
    this.service = service;
    this.body = body;
    this.all = all;
    this.attemptTimeout = attemptTimeout;
    this.retries = retries;
    this.sink = sink;
  }
}
