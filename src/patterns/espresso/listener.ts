/** Espresso's listener: a SUB at a capture endpoint, with typed records. */
import { systemClock } from "../../core/clock.js";
import { InvalidArgumentError, InvalidMessageError, TimeoutError } from "../../core/errors.js";
import type { WaitOptions } from "../../core/waiter.js";
import { Calls } from "../../sockets/calls.js";
import type { Codec } from "../../sockets/codec.js";
import type { Context } from "../../sockets/context.js";
import { Subscriber, type SubscriberOptions } from "../../sockets/pub-sub.js";
import type { SocketStats } from "../../sockets/stats.js";
import { checkEndpoint, checkKeys } from "../kit/options.js";
import { Filter, prefixesOf, sizeOf, startsWith, type TapFilter, type TapSample } from "./filter.js";
import { Gaps } from "./gaps.js";
import { parseTrailer, type Side } from "./protocol.js";

/** Records of one `receiveMany`, unless it is told otherwise. */
const MANY = 1_000;

/** Options of {@link EspressoListener}. */
export interface EspressoListenerOptions<T = undefined> {
  /** Capture endpoints: of taps, or of any proxy that captures to a PUB. */
  readonly connect: string | readonly string[];
  /** Which records are wanted. `topics` are asked for at the tap; the rest is decided here. Default: all. */
  readonly filter?: TapFilter;
  /** How many of those. Default: all. */
  readonly sample?: TapSample;
  /** Decodes the last frame of each whole message into the record's `value`. Default: no value. */
  readonly decode?: Codec<T>;
  /** For the SUB: security, `receiveHighWaterMark`. */
  readonly socketOptions?: Omit<SubscriberOptions, "codec">;
  readonly context?: Context;
}

/** A message that passed a proxy. */
export interface TapRecord<T = undefined> {
  /** The side it came from; `undefined` from a capture that does not tell. */
  readonly from: Side | undefined;
  /** ms since 1970-01-01 UTC when it passed the proxy; when it came here, from a capture that does not tell. */
  readonly time: number;
  /** What the record shows of it; one frame or more. */
  readonly frames: readonly Buffer[];
  /** Frames it had. */
  readonly frameCount: number;
  /** Bytes it had. */
  readonly size: number;
  /** Whether `frames` are less than the message. */
  readonly truncated: boolean;
  /** The last frame, decoded; `undefined` without a codec, when it is cut off, and with an `error`. */
  readonly value: T | undefined;
  /** Why the last frame could not be decoded. */
  readonly error: InvalidMessageError | undefined;
  /** Records that this listener missed just before this one. */
  readonly missed: number;
}

/** A listener's accounts, all since it was made. */
export interface ListenerStats {
  /** Records that came: `delivered + filtered + sampled`. */
  readonly received: number;
  /** Records handed to the program. */
  readonly delivered: number;
  /** Records that the tap published for this listener and that did not come. */
  readonly missed: number;
  /** Records that the filter did not want. */
  readonly filtered: number;
  /** Records left out by the sample. */
  readonly sampled: number;
  /** Records whose last frame could not be decoded. */
  readonly undecodable: number;
  /** Records without a trailer: another proxy's capture. */
  readonly raw: number;
  /** Times that `where` threw. */
  readonly predicateFailures: number;
  readonly socket: SocketStats;
}

/**
 * Hears what passes a proxy, as an async iterable or by `receive`.
 *
 * A listener that is slower than the records come misses some: `missed` of the next one tells how many. What is missed
 * between a lost connection and the next one is not known.
 */
export class EspressoListener<T = undefined> {
  /** What callers wait for. */
  readonly #open = new Calls();
  readonly #socket: Subscriber;
  readonly #filter: Filter;
  readonly #codec: Codec<T> | undefined;
  readonly #gaps = new Gaps();
  /** Subscribed; none begins with another, so that a record matches one only. */
  readonly #prefixes: readonly Buffer[];
  /** Missed before records that were not wanted: told with the next one that is. */
  #owed = 0;
  readonly #counts = {
    received: 0,
    delivered: 0,
    missed: 0,
    filtered: 0,
    sampled: 0,
    undecodable: 0,
    raw: 0,
  };

  /** @throws InvalidArgumentError `EINVAL` for an unknown option, a bad value or a bad endpoint */
  constructor(options: EspressoListenerOptions<T>) {
    checkKeys("EspressoListener", options, [
      "connect",
      "filter",
      "sample",
      "decode",
      "socketOptions",
      "context",
    ]);
    const { filter = {}, sample = {}, decode, socketOptions, context } = options;
    const endpoints = typeof options.connect === "string" ? [options.connect] : options.connect;
    if (!Array.isArray(endpoints) || endpoints.length === 0)
      throw new InvalidArgumentError("A listener has at least one endpoint to connect to");
    for (const endpoint of endpoints) checkEndpoint("connect", endpoint);
    if (decode !== undefined && typeof decode?.decode !== "function")
      throw new InvalidArgumentError("Option decode is a codec, such as json() gives");
    if (socketOptions !== undefined && Object.hasOwn(socketOptions, "codec"))
      throw new InvalidArgumentError("A listener's SUB has no codec; its records have: option decode");
    this.#filter = new Filter(filter, sample, systemClock);
    this.#codec = decode;
    this.#prefixes = disjoint(prefixesOf(filter.topics));
    this.#socket = new Subscriber({
      linger: 0,
      ...(context === undefined ? {} : { context }),
      ...socketOptions,
    });
    try {
      this.#socket.subscribe(...this.#prefixes);
      for (const endpoint of endpoints) this.#socket.connect(endpoint);
    } catch (error) {
      void this.#socket.close({ linger: 0 });
      throw error;
    }
  }

  /** The SUB's events: connections, refusals. */
  get events(): Subscriber["events"] {
    return this.#socket.events;
  }

  /** Whether `close` was called. */
  get closed(): boolean {
    return this.#socket.closed;
  }

  /**
   * The next record.
   *
   * @throws TimeoutError `EAGAIN`, AbortedError `ABORT_ERR`, ClosedError as a socket's `receive` does
   */
  receive(options: WaitOptions = {}): Promise<TapRecord<T>> {
    return this.#open.run(async () => {
      const [record] = await this.#receiveMany({ ...options, max: 1 });
      return record as TapRecord<T>;
    });
  }

  /** 1 to `max` records (default 1,000): those that are there, or the first that comes. Otherwise as {@link receive}. */
  receiveMany(options: WaitOptions & { readonly max?: number } = {}): Promise<TapRecord<T>[]> {
    return this.#open.run(() => this.#receiveMany(options));
  }

  async #receiveMany(options: WaitOptions & { readonly max?: number }): Promise<TapRecord<T>[]> {
    const { max = MANY, timeout = this.#socket.receiveTimeout } = options;
    const end = performance.now() + timeout;
    let left = timeout;
    for (;;) {
      const messages = await this.#socket.receiveMany({ ...options, timeout: left, max });
      const records: TapRecord<T>[] = [];
      for (const message of messages) {
        const record = this.#toRecord(message);
        if (record !== undefined) records.push(record);
      }
      if (records.length > 0) return records;
      if (timeout < 0) continue;
      left = Math.ceil(end - performance.now());
      if (left < 0) throw new TimeoutError("EAGAIN", "No record came in time");
    }
  }

  /** Records until the listener is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<TapRecord<T>, undefined> {
    while (!this.closed) {
      try {
        yield await this.receive({ timeout: -1 });
      } catch (error) {
        if (!this.closed) throw error;
      }
    }
    return undefined;
  }

  stats(): ListenerStats {
    return {
      ...this.#counts,
      predicateFailures: this.#filter.failures,
      socket: this.#socket.stats(),
    };
  }

  /** Hears nothing any more. Closing twice is closing once. */
  async close(): Promise<void> {
    this.#open.abandon();
    await this.#socket.close({ linger: 0 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #toRecord(message: Buffer[]): TapRecord<T> | undefined {
    const counts = this.#counts;
    counts.received += 1;
    const last = message[message.length - 1] as Buffer;
    const trailer = message.length > 1 ? parseTrailer(last) : undefined;
    const frames = trailer === undefined ? message : message.slice(0, -1);
    const shown = sizeOf(frames);
    let missed = 0;
    if (trailer === undefined) counts.raw += 1;
    else missed = this.#gaps.note(this.#matched(frames[0] as Buffer), trailer.numbers);
    counts.missed += missed;
    this.#owed += missed;
    const size = trailer?.size ?? shown;
    const verdict = this.#filter.judge(trailer?.from, frames, size);
    if (verdict !== "taken") {
      counts[verdict] += 1;
      return undefined;
    }
    counts.delivered += 1;
    const frameCount = trailer?.frames ?? frames.length;
    const truncated = shown < size || frames.length < frameCount;
    const record: Mutable<TapRecord<T>> = {
      from: trailer?.from,
      time: trailer?.time ?? Date.now(),
      frames,
      frameCount,
      size,
      truncated,
      value: undefined,
      error: undefined,
      missed: this.#owed,
    };
    this.#owed = 0;
    if (this.#codec !== undefined && !truncated) this.#decode(record, this.#codec);
    return record;
  }

  #decode(record: Mutable<TapRecord<T>>, codec: Codec<T>): void {
    try {
      record.value = codec.decode(record.frames[record.frames.length - 1] as Buffer);
    } catch (cause) {
      this.#counts.undecodable += 1;
      record.error =
        cause instanceof InvalidMessageError
          ? cause
          : new InvalidMessageError(`The frame is no ${codec.name}`, { cause });
    }
  }

  #matched(topic: Buffer): number {
    for (const prefix of this.#prefixes) if (startsWith(topic, prefix)) return prefix.length;
    return 0;
  }
}

type Mutable<R> = { -readonly [K in keyof R]: R[K] };

/** Without those that another one covers. */
function disjoint(prefixes: readonly Buffer[]): Buffer[] {
  const kept: Buffer[] = [];
  for (const prefix of [...prefixes].sort((a, b) => a.length - b.length)) {
    if (!kept.some((shorter) => startsWith(prefix, shorter))) kept.push(prefix);
  }
  return kept;
}
