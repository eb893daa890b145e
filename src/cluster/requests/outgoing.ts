/**
 * A program's requests: observers, a call by the rules of calls.ts, and its result for the program.
 *
 *   request, requestStream ── observed ──> Call ──> a promise, PartStream
 *   requestMany ── observed ── a request to each node that serves it ──> a promise
 */
import { thrownText } from "../../core/arguments.js";
import { owned } from "../../core/bytes.js";
import { ReceiveWindow } from "../../core/credit.js";
import { endedWith, type RequestOperation, startRequest, withAdded } from "../../core/diagnostics.js";
import {
  AbortedError,
  ClosedError,
  InvalidMessageError,
  type ShoalError,
  TimeoutError,
} from "../../core/errors.js";
import { PushIterator } from "../../core/push-iterator.js";
import type { DriverTimer } from "../../core/timers.js";
import { checkWait, ignore, neverLate } from "../../core/waiter.js";
import { type PendingCall, PendingCalls } from "../../kit/calls.js";
import { type ServiceClient, type ServiceContract, serviceClient } from "../../kit/contract.js";
import { ServiceError } from "../../kit/errors.js";
import { dataBytes } from "../messaging/items.js";
import type { Member } from "../node/member.js";
import type { Call, CallSink, CallTerms } from "./call.js";
import type { RequestCalls } from "./calls.js";
import {
  manyTerms,
  NO_OPTIONS,
  nodeStreamTerms,
  type OutgoingRequest,
  requestTerms,
  type ServiceManyOptions,
} from "./options.js";
import {
  MAX_HEADER_BYTES,
  MAX_HEADERS,
  type ServiceManyResult,
  type ServiceRequestOptions,
  type ServiceStreamOptions,
} from "./types.js";
import { type BodyForm, decodeBody, encodeBody } from "./wire.js";

type Decode = (form: BodyForm, body: Buffer) => unknown;

export class OutgoingRequests {
  readonly pending = new PendingCalls({ maxPending: 65_536, maxPendingBytes: 67_108_864 });
  readonly #calls: RequestCalls;
  readonly #timer: DriverTimer;
  /** That serve a service. */
  readonly #nodesOf: (service: string, self: boolean) => readonly Member[];

  constructor(
    calls: RequestCalls,
    timer: DriverTimer,
    nodesOf: (service: string, self: boolean) => readonly Member[],
  ) {
    this.#calls = calls;
    this.#timer = timer;
    this.#nodesOf = nodesOf;
  }

  request(service: string, body: unknown, options: ServiceRequestOptions = NO_OPTIONS): Promise<unknown> {
    return this.#ask({ service, method: "", body, options, isStream: false }, decodeBody);
  }

  /** @throws InvalidArgumentError `EINVAL`; InvalidStateError `ERR_TOO_MANY_PENDING` */
  requestStream(
    service: string,
    body: unknown,
    options: ServiceStreamOptions = NO_OPTIONS,
  ): AsyncIterableIterator<unknown, undefined> {
    return this.#askInParts({ service, method: "", body, options, isStream: true }, decodeBody);
  }

  requestMany(service: string, body: unknown, options?: ServiceManyOptions): Promise<ServiceManyResult> {
    const operation = startRequest("cluster", service, "", false, options?.headers);
    return operation === undefined
      ? this.#requestMany(service, body, options)
      : observe(operation, () => this.#requestMany(service, body, observed(options, operation)));
  }

  async #requestMany(
    service: string,
    body: unknown,
    options: ServiceManyOptions = {},
  ): Promise<ServiceManyResult> {
    const { count, ...terms } = manyTerms(service, encodeBody(body), options);
    const { signal } = options;
    checkWait({ signal });
    const nodes = this.#nodesOf(service, terms.self);
    if (nodes.length === 0) throw new ServiceError("no-service", service, "no node serves it");
    const replies: { readonly member: Member; readonly body: unknown }[] = [];
    const failed: { readonly member: Member; readonly error: Error }[] = [];
    const missing = new Set(nodes);
    const enough = new AbortController();
    const stop = signal === undefined ? enough.signal : AbortSignal.any([signal, enough.signal]);
    const ask = async (member: Member): Promise<void> => {
      try {
        const reply = await this.#send({ ...terms, node: member.id }, stop, decodeBody);
        if (enough.signal.aborted) return;
        missing.delete(member);
        replies.push({ member, body: reply });
        if (replies.length >= count) enough.abort();
      } catch (error) {
        // A late node is missing.
        if (enough.signal.aborted || error instanceof TimeoutError) return;
        if (stop.aborted || error instanceof ClosedError) throw error;
        missing.delete(member);
        failed.push({ member, error: error as Error });
      }
    };
    await Promise.all(nodes.map(ask));
    return { replies, failed, missing: [...missing] };
  }

  /**
   * Streams shoal's own list from one node, without observers.
   * @param timeout ms
   * @throws InvalidStateError `ERR_TOO_MANY_PENDING`; ClosedError `EBADF`
   */
  streamFrom(node: string, service: string, timeout: number): AsyncIterableIterator<unknown, undefined> {
    return this.#read(nodeStreamTerms(node, service, timeout), undefined, decodeBody);
  }

  service<C extends ServiceContract>(
    contract: C,
    defaults: ServiceRequestOptions = {},
  ): ServiceClient<C, ServiceRequestOptions> {
    const bytesOf =
      <T>(decode: (frames: readonly Buffer[]) => T): Decode =>
      (_, body) =>
        decode([body]);
    const outgoing = (
      [method, body]: readonly unknown[],
      options: ServiceStreamOptions,
      isStream: boolean,
    ): OutgoingRequest => ({ service: contract.name, method: String(method), body, options, isStream });
    return serviceClient<C, ServiceRequestOptions>(contract, {
      request: (frames, decode, options) =>
        this.#ask(outgoing(frames, { ...defaults, ...options }, false), bytesOf(decode)) as Promise<never>,
      stream: (frames, decode, options) => {
        const { timeout, ...rest } = { ...defaults, ...options };
        // A contract's timeout for one reply applies until the first part.
        const ofStream = { ...rest, ...(timeout !== undefined && { attemptTimeout: timeout }) };
        return this.#askInParts(outgoing(frames, ofStream, true), bytesOf(decode)) as AsyncIterableIterator<
          never,
          undefined
        >;
      },
    });
  }

  #ask(outgoing: OutgoingRequest, decode: Decode): Promise<unknown> {
    const { service, method, options } = outgoing;
    const operation = startRequest("cluster", service, method, false, options?.headers);
    if (operation !== undefined)
      return observe(operation, () =>
        this.#request({ ...outgoing, options: observed(options, operation) }, decode),
      );
    try {
      return this.#request(outgoing, decode);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #askInParts(outgoing: OutgoingRequest, decode: Decode): AsyncIterableIterator<unknown, undefined> {
    const { service, method, options } = outgoing;
    const operation = startRequest("cluster", service, method, true, options?.headers);
    if (operation === undefined) return this.#stream(outgoing, decode);
    let parts: AsyncIterableIterator<unknown, undefined>;
    try {
      const traced = { ...outgoing, options: observed(options, operation) };
      parts = operation.run(() => this.#stream(traced, decode));
    } catch (error) {
      operation.end(error);
      throw error;
    }
    return endedWith(parts, operation);
  }

  #request(outgoing: OutgoingRequest, decode: Decode): Promise<unknown> {
    return this.#send(requestTerms(outgoing), outgoing.options.signal, decode);
  }

  #send(terms: CallTerms, signal: AbortSignal | undefined, decode: Decode): Promise<unknown> {
    const reply = new WholeReply(terms.service, decode);
    const onAborted = signal === undefined ? ignore : this.#onAborted(reply);
    reply.pending = this.#pend<unknown>(dataBytes(terms.body.data), signal, onAborted);
    reply.call = this.#begin(terms, reply);
    return reply.pending.promise;
  }

  #onAborted(reply: WholeReply): () => void {
    return () => this.#giveUp(reply.call, undefined);
  }

  #stream(outgoing: OutgoingRequest, decode: Decode): PartStream {
    return this.#read(requestTerms(outgoing), outgoing.options.signal, decode);
  }

  #read(terms: CallTerms, signal: AbortSignal | undefined, decode: Decode): PartStream {
    let call: Call | undefined;
    const pending = this.#pend<void>(dataBytes(terms.body.data), signal, () =>
      this.#giveUp(call, new AbortedError(signal?.reason)),
    );
    pending.promise.catch(ignore); // The stream has the error.
    const { parts = 1, bytes = 1 } = terms.extras ?? {};
    const stream = new PartStream(parts, bytes, decode, (count, size) => {
      if (count === 0 && size === 0) this.#giveUp(call, undefined);
      else if (call !== undefined) this.#calls.read(this.#timer.now(), call, count, size);
    });
    stream.over = () => pending.resolve();
    call = this.#begin(terms, stream);
    return stream;
  }

  /**
   * @param bytes of its body
   * @param onAborted the signal aborted
   * @throws InvalidStateError `ERR_TOO_MANY_PENDING`; InvalidArgumentError `EINVAL`; AbortedError `ABORT_ERR`;
   * ClosedError `EBADF`
   */
  #pend<T>(bytes: number, signal: AbortSignal | undefined, onAborted: () => void): PendingCall<T> {
    this.#calls.assertOpen();
    return this.pending.add<T>(bytes, { signal, onGivenUp: onAborted }, neverLate);
  }

  #begin(terms: CallTerms, sink: CallSink): Call {
    const call = this.#calls.call(this.#timer.now(), terms, sink);
    this.#timer.updateSoon();
    return call;
  }

  #giveUp(call: Call | undefined, error: ShoalError | undefined): void {
    if (call !== undefined) this.#calls.giveUp(this.#timer.now(), call, error);
  }
}

/** Of a request with one reply: an object takes less memory than closures. */
class WholeReply implements CallSink {
  pending!: PendingCall<unknown>;
  call: Call | undefined = undefined;
  readonly #service: string;
  readonly #decode: Decode;

  constructor(service: string, decode: Decode) {
    this.#service = service;
    this.#decode = decode;
  }

  reply(form: BodyForm, body: Buffer): void {
    try {
      this.pending.resolve(this.#decode(form, body));
    } catch (error) {
      const text = `the reply of ${this.#service} is refused: ${thrownText(error)}`;
      const isOurs = error instanceof InvalidMessageError;
      this.pending.reject(isOurs ? error : new InvalidMessageError(text, { cause: error }));
    }
  }

  fail(error: ShoalError): void {
    if (error instanceof ClosedError) this.pending.abandon(error);
    else this.pending.reject(error);
  }
}

async function observe<T>(operation: RequestOperation, call: () => Promise<T>): Promise<T> {
  return operation.endWith(operation.run(async () => call()));
}

function observed<O extends Pick<ServiceRequestOptions, "headers"> | undefined>(
  options: O,
  { added }: RequestOperation,
): O {
  if (added === undefined) return options;
  const headers = withAdded(options?.headers, added, MAX_HEADERS, MAX_HEADER_BYTES);
  return headers === undefined ? options : { ...options, headers };
}

interface Part {
  readonly form: BodyForm;
  readonly body: Buffer;
}

/** Reader of a streamed reply: parts in order, and its end. Leaving the loop cancels it. */
export class PartStream extends PushIterator<Part, unknown> implements CallSink {
  over?: () => void;
  readonly #decode: (form: BodyForm, body: Buffer) => unknown;
  readonly #grant: (parts: number, bytes: number) => void;
  readonly #parts: ReceiveWindow;
  readonly #bytes: ReceiveWindow;

  /**
   * @param decode throws for a nonconforming part
   * @param grant gets parts and bytes more for the sender; 0 and 0: stop
   */
  constructor(
    maxParts: number,
    maxBytes: number,
    decode: (form: BodyForm, body: Buffer) => unknown,
    grant: (parts: number, bytes: number) => void,
  ) {
    super();
    this.#parts = new ReceiveWindow(maxParts);
    this.#bytes = new ReceiveWindow(maxBytes);
    this.#decode = decode;
    this.#grant = grant;
  }

  part(form: BodyForm, body: Buffer): string | undefined {
    if (this.#parts.allowed <= 0 || this.#bytes.allowed <= 0) return "window";
    this.#parts.unread += 1;
    this.#bytes.unread += body.length;
    // The other end does not know yet that the reader left.
    if (!this.ended) this.push({ form, body: owned(body) });
    return undefined;
  }

  /** A reply that is not streamed is its only part, and grants nothing. */
  reply(form: BodyForm, body: Buffer): void {
    this.queue.push({ form, body: owned(body) });
    this.end();
  }

  fail(error: ShoalError): void {
    this.end(error);
  }

  protected read({ form, body }: Part): unknown {
    const parts = this.#parts.read(1);
    const bytes = this.#bytes.read(body.length);
    if (!this.ended && (parts > 0 || bytes > 0)) this.#grant(parts, bytes);
    return this.#decode(form, body);
  }

  protected override onLeft(): void {
    this.#grant(0, 0);
  }
}
