/** A client of Titanic: its services, asked over a Majordomo client. */

import { quoted } from "../../core/arguments.js";
import { Link, LinkedList } from "../../core/collections/linked-list.js";
import {
  ClosedError,
  InvalidArgumentError,
  NotSupportedError,
  ProtocolError,
  TimeoutError,
} from "../../core/errors.js";
import type { EventNames } from "../../core/event-stream.js";
import { ignore } from "../../core/ignore.js";
import { refusedWait, Waiter, type WaitOptions } from "../../core/waiter.js";
import type { MessageLike } from "../../sockets/message.js";
import { Driver } from "../kit/driver.js";
import { ENDPOINT_SOURCE_EVENTS, type PatternEndpoints } from "../kit/endpoint-list.js";
import { ServiceError } from "../kit/errors.js";
import { checkCount, checkKeys } from "../kit/options.js";
import { StoreError } from "../kit/store/error.js";
import {
  type MajordomoCallOptions,
  MajordomoClient,
  type MajordomoClientEvent,
  type MajordomoClientOptions,
  type MajordomoClientStats,
} from "../majordomo/index.js";
import {
  parseStatus,
  parseUuid,
  storeBody,
  TITANIC_SERVICES,
  TitanicStatus,
  UuidSource,
} from "./protocol.js";

/** What `titanic.reply` says. */
export interface TitanicReply {
  /** "200", "300", "400", "500" (9/TSP, Status Frames) or "503": given up. */
  readonly status: TitanicStatus;
  /** The reply's frames; with "503" one frame that says why; otherwise empty. */
  readonly body: Buffer[];
}

/** What {@link TitanicClient.request} takes. */
export interface TitanicRequestOptions extends MajordomoCallOptions {
  /**
   * The request's UUID, 32 hexadecimal digits, from {@link TitanicClient.newUuid}. A program that keeps it before it
   * asks can ask again after a time-out or a crash, and the request is stored once. Default: a new one.
   */
  readonly uuid?: string;
  /** ms that the request is kept and tried; Titanic's `requestTtl` at most, which is the default. */
  readonly ttl?: number;
}

/** ms for which a Titanic without `titanic.store` is not asked for it again. */
const PLAIN_MEMORY = 10_000;
/** ms for which one that has `titanic.request` alone may have just started, and before the first question again. */
const START_PATIENCE = 1_000;
const START_PAUSE = 20;
/** ms before a request whose outcome is unknown is repeated; doubled each time. */
const REPEAT_DELAY = 100;
const NO_OPTIONS: TitanicRequestOptions & MajordomoCallOptions = Object.freeze({});

/** Times that it is repeated, unless the options say otherwise, and ms for all of it: as for a Majordomo client. */
const RETRIES = 2;
const TIMEOUT = 30_000;

/** What {@link TitanicClient.wait} takes. */
export interface TitanicWaitOptions {
  /** ms for all of it; then `wait` rejects with `ETIMEDOUT`, and the request stays with Titanic. Default -1: no limit. */
  readonly timeout?: number;
  /** ms between the first two questions; each pause is half as long again, up to `maxInterval`. Default 50. */
  readonly interval?: number;
  /** Default 2,000. */
  readonly maxInterval?: number;
  /** Gives up; the request stays with Titanic. */
  readonly signal?: AbortSignal;
}

const EVENTS: EventNames<MajordomoClientEvent> = {
  "broker:joined": true,
  "broker:left": true,
  "peer:invalid": true,
  ...ENDPOINT_SOURCE_EVENTS,
};

/**
 * Leaves requests with Titanic and fetches the replies, now or in another process. Its events are those of its Majordomo client.
 *
 * @example
 * ```ts
 * import { mkdtempSync } from "node:fs";
 * import { MajordomoBroker, MajordomoWorker } from "shoal/majordomo";
 * import { LmdbStore, Titanic, TitanicClient } from "shoal/titanic";
 *
 * const broker = new MajordomoBroker();
 * const endpoint = await broker.bind("tcp://127.0.0.1:*");
 * const store = LmdbStore.open(mkdtempSync("/tmp/titanic-"));
 * const titanic = new Titanic(endpoint, store);
 * const worker = new MajordomoWorker(endpoint, "upper", ([text]) => String(text).toUpperCase());
 * const client = new TitanicClient(endpoint);
 * const uuid = await client.request("upper", "keep me"); // On disk when this settles.
 * console.log(String((await client.wait(uuid)).body)); // KEEP ME
 * await Promise.all([client.close(), worker.close()]);
 * await titanic.close();
 * await store.close();
 * await broker.close();
 * ```
 */
export class TitanicClient extends Driver<MajordomoClientEvent, MajordomoClientStats> {
  readonly #client: MajordomoClient;
  /** What callers wait for. A list: a Set that thousands pass through keeps what has left, by the tables that it has outgrown. */
  readonly #calls = new LinkedList<OpenCall>();
  /** Those of them that wait until they ask again. */
  readonly #sleeps = new Set<Waiter<void>>();
  readonly #uuids = new UuidSource();
  readonly #timeout: number;
  readonly #retries: number;
  #drained: (() => void) | undefined;
  /** Whether Titanic has `titanic.store`; `undefined`: not known. */
  #canStore: boolean | undefined;
  #plainUntil = 0;

  /**
   * @param endpoints of one Majordomo broker or several, or a source of them, as of a `MajordomoClient`
   * @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value
   */
  constructor(endpoints: PatternEndpoints, options: MajordomoClientOptions = {}) {
    super("TitanicClient", EVENTS);
    this.#client = new MajordomoClient(endpoints, options);
    for (const type of Object.keys(EVENTS) as MajordomoClientEvent["type"][])
      this.#client.events.on(type, (event) => this.events.emit(event));
    this.#timeout = options.timeout ?? TIMEOUT;
    this.#retries = options.retries ?? RETRIES;
  }

  /** A UUID for {@link request}, to be kept before asking. */
  newUuid(): string {
    return this.#uuids.nextText(Date.now());
  }

  /**
   * Leaves a request. Once this settles, no crash loses it. It is repeated under one UUID, `retries` times, and
   * stored once however often it arrives; a Titanic that is not shoal's stores each repetition. When it rejects with
   * a time-out or `outcome-unknown`, it may be stored all the same: ask again with the same `uuid`.
   *
   * @param body 1 or more frames
   * @returns its UUID, 32 hexadecimal digits: any client that has it can fetch the reply
   * @throws StoreError `failed` when Titanic refuses (500), `outcome-unknown` when its store lost the answer of an attempt (502);
   *   InvalidArgumentError `EINVAL`; NotSupportedError `NOT_SUPPORTED` for `uuid` and `ttl` with a Titanic that does
   *   not know them; otherwise as {@link MajordomoClient.request}
   */
  request(
    service: string,
    body: MessageLike | MessageLike[],
    options: TitanicRequestOptions = NO_OPTIONS,
  ): Promise<string> {
    const call = this.#begin();
    const promise = this.#request(call, service, body, options);
    call.promise = promise;
    return promise;
  }

  /**
   * One function from the question to the end, as long as nothing is asked twice: with thousands under way each that waits
   * is memory that the collector copies.
   */
  async #request(
    call: OpenCall,
    service: string,
    body: MessageLike | MessageLike[],
    options: TitanicRequestOptions,
  ): Promise<string> {
    try {
      this.assertOpen();
      const { uuid = this.newUuid(), ttl } = options;
      // A client without options has the same limits for each call.
      const limits = options === NO_OPTIONS ? undefined : limitsOf(options, uuid);
      const frames = Array.isArray(body) ? [service, ...body] : [service, body];
      if (this.#canStore !== true && !(await this.#knowsStore(limits ?? NO_OPTIONS))) {
        if (options.uuid !== undefined || ttl !== undefined)
          throw new NotSupportedError("This Titanic takes no UUID or time to live from its clients");
        return uuidOf(await this.#client.request(TITANIC_SERVICES.request, frames, limits));
      }
      const wanted = storeBody(uuid, ttl, frames);
      const begun = performance.now();
      try {
        return uuidOf(await this.#client.request(TITANIC_SERVICES.store, wanted, limits));
      } catch (error) {
        return await this.#storeAgain(wanted, limits ?? NO_OPTIONS, begun, error);
      }
    } finally {
      this.#end(call);
    }
  }

  /** @param error why the first attempt, which began at `begun`, failed */
  async #storeAgain(
    frames: MessageLike[],
    call: MajordomoCallOptions,
    begun: number,
    error: unknown,
  ): Promise<string> {
    const { timeout = this.#timeout, retries = this.#retries, signal } = call;
    const deadline = begun + timeout;
    let failure = error;
    let isUnknown = false;
    for (let left = retries, pause = REPEAT_DELAY; ; left -= 1, pause *= 2) {
      if (failure instanceof ServiceError && failure.reason === "no-service") this.#canStore = undefined;
      isUnknown ||= failure instanceof StoreError && failure.reason === "outcome-unknown";
      // A time-out, an abort and a closing say by themselves that the outcome is unknown.
      if (!isUnknown || !(failure instanceof StoreError || failure instanceof ServiceError)) throw failure;
      if (left <= 0 || (timeout >= 0 && performance.now() + pause >= deadline)) throw unknownOf(failure);
      await this.#sleep(pause, signal);
      const rest = timeout < 0 ? timeout : Math.max(1, Math.round(deadline - performance.now()));
      try {
        const options = { ...call, timeout: rest };
        return uuidOf(await this.#client.request(TITANIC_SERVICES.store, frames, options));
      } catch (again) {
        failure = again;
      }
    }
  }

  /**
   * Asks the broker (8/MMI). Where there is no Titanic at all, the one that comes is taken for shoal's. One that has
   * just started is asked for some time: it offers its services one after the other.
   */
  async #knowsStore(call: MajordomoCallOptions): Promise<boolean> {
    if (this.#canStore === true) return true;
    if (performance.now() < this.#plainUntil) return false;
    const patience = this.#plainUntil === 0 ? START_PATIENCE : 0;
    for (let pause = START_PAUSE, waited = 0; ; pause *= 2) {
      const status = await this.#offered(TITANIC_SERVICES.store, call);
      if (status === "200") {
        this.#canStore = true;
        return true;
      }
      const plain = await this.#offered(TITANIC_SERVICES.request, call);
      if (status === "404" && plain === "404") return true;
      if (waited >= patience) break;
      waited += pause;
      await this.#sleep(pause, call.signal);
    }
    this.#plainUntil = performance.now() + PLAIN_MEMORY;
    return false;
  }

  async #offered(service: string, call: MajordomoCallOptions): Promise<string> {
    const [status] = await this.#client.request("mmi.service", [service], call);
    return String(status);
  }

  /** What there is of a reply. It stays with Titanic until `close`, or until it expires. */
  reply(uuid: string, options?: MajordomoCallOptions): Promise<TitanicReply> {
    return this.#run(() => this.#reply(uuid, options));
  }

  async #reply(uuid: string, options?: MajordomoCallOptions): Promise<TitanicReply> {
    const [first, ...body] = await this.#client.request(TITANIC_SERVICES.reply, [uuid], options);
    const status = parseStatus(first);
    if (status === undefined)
      throw new ProtocolError(`titanic.reply answered ${String(first)}, which is not a status`);
    return { status, body };
  }

  /** Asks until the reply is there. Ends with "200", "400", "500" or "503"; each question as {@link reply}. */
  wait(uuid: string, options: TitanicWaitOptions = {}): Promise<TitanicReply> {
    return this.#run(() => this.#wait(uuid, options));
  }

  async #wait(uuid: string, options: TitanicWaitOptions): Promise<TitanicReply> {
    checkKeys("TitanicClient.wait", options, ["timeout", "interval", "maxInterval", "signal"]);
    const { timeout = -1, interval = 50, maxInterval = 2_000, signal } = options;
    checkCount("timeout", timeout, -1);
    checkCount("interval", interval, 1);
    checkCount("maxInterval", maxInterval, 1);
    const deadline = performance.now() + timeout;
    const left = (): number => Math.max(1, Math.ceil(deadline - performance.now()));
    for (let pause = interval; ; pause = Math.min(pause * 1.5, maxInterval)) {
      const limits = {
        ...(signal === undefined ? {} : { signal }),
        ...(timeout < 0 ? {} : { timeout: Math.min(this.#timeout < 0 ? timeout : this.#timeout, left()) }),
      };
      const reply = await this.#reply(uuid, limits);
      if (reply.status !== TitanicStatus.PENDING) return reply;
      if (timeout >= 0 && performance.now() >= deadline)
        throw new TimeoutError("ETIMEDOUT", `${uuid} has no reply after ${timeout} ms`);
      await this.#sleep(timeout < 0 ? pause : Math.min(pause, left()), signal);
    }
  }

  /** Says that request and reply are of no use any more. */
  forget(uuid: string, options?: MajordomoCallOptions): Promise<void> {
    return this.#run(() => this.#forget(uuid, options));
  }

  async #forget(uuid: string, options?: MajordomoCallOptions): Promise<void> {
    const [status] = await this.#client.request(TITANIC_SERVICES.close, [uuid], options);
    if (parseStatus(status) !== TitanicStatus.OK) throw refused("titanic.close", status);
  }

  override stats(): MajordomoClientStats {
    return this.#client.stats();
  }

  /** Settles when a broker answers. @throws as {@link MajordomoClient.ready} */
  ready(options?: WaitOptions): Promise<void> {
    return this.#client.ready(options);
  }

  /** Calls under way end, as they would. */
  protected override onDrain(): Promise<void> {
    if (this.#calls.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#drained = resolve;
    });
  }

  /** What was left with Titanic stays there. */
  protected override async onClose(linger: number): Promise<void> {
    // The program ended them itself: what they reject with now needs no handler.
    for (const call of this.#calls) call.promise?.catch(ignore);
    for (const sleep of this.#sleeps) sleep.abandon(closedMeanwhile());
    this.#drained?.();
    await this.#client.close({ linger });
  }

  /** @throws AbortedError `ABORT_ERR`; ClosedError `EAGAIN` when the client closes meanwhile */
  async #sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
    await refusedWait({ signal });
    if (this.closed) throw closedMeanwhile();
    const waiter = new Waiter<void>(
      Math.max(1, Math.round(ms)),
      signal,
      () => new TimeoutError("ETIMEDOUT", "over"),
      () => undefined,
    );
    this.#sleeps.add(waiter);
    try {
      await waiter.promise;
    } catch (error) {
      if (!(error instanceof TimeoutError)) throw error;
    } finally {
      this.#sleeps.delete(waiter);
    }
  }

  #run<T>(steps: () => Promise<T>): Promise<T> {
    const call = this.#begin();
    const promise = this.#follow(call, steps);
    call.promise = promise;
    return promise;
  }

  async #follow<T>(call: OpenCall, steps: () => Promise<T>): Promise<T> {
    try {
      this.assertOpen();
      return await steps();
    } finally {
      this.#end(call);
    }
  }

  #begin(): OpenCall {
    const call = new OpenCall();
    this.#calls.push(call.link);
    return call;
  }

  #end(call: OpenCall): void {
    call.link.unlink();
    if (this.#calls.length === 0) this.#drained?.();
  }
}

/** A call under way. */
class OpenCall {
  /** What the caller holds. */
  promise: Promise<unknown> | undefined = undefined;
  readonly link: Link<OpenCall> = new Link<OpenCall>(this);
}

/** What the Majordomo client gets of the options. @throws InvalidArgumentError `EINVAL` */
function limitsOf(options: TitanicRequestOptions, uuid: string): MajordomoCallOptions {
  checkKeys("TitanicClient.request", options, ["timeout", "retries", "signal", "uuid", "ttl"]);
  if (parseUuid(uuid) === undefined)
    throw new InvalidArgumentError(`uuid is 32 hexadecimal digits; got ${quoted(uuid)}`);
  if (options.ttl !== undefined) checkCount("ttl", options.ttl, 1);
  const { uuid: _uuid, ttl: _ttl, ...limits } = options;
  return limits;
}

function closedMeanwhile(): ClosedError {
  return new ClosedError("EAGAIN", "The client closed before the answer came");
}

/** The UUID in the answer to a request. */
function uuidOf([status, uuid]: readonly Buffer[]): string {
  if (parseStatus(status) !== TitanicStatus.OK) throw refused("The request", status);
  if (uuid === undefined) throw new ProtocolError("The request was answered without a UUID");
  return uuid.toString("latin1");
}

/** Of a request that may be stored, though its last attempt was refused. */
function unknownOf(failure: StoreError | ServiceError): StoreError {
  if (failure instanceof StoreError && failure.reason === "outcome-unknown") return failure;
  const text = `An attempt may have been stored, and its repetition failed: ${failure.message}`;
  return new StoreError("outcome-unknown", text, { cause: failure });
}

function refused(what: string, status: Buffer | undefined): StoreError {
  const isUnknown = parseStatus(status) === TitanicStatus.UNCERTAIN;
  return new StoreError(
    isUnknown ? "outcome-unknown" : "failed",
    `${what} was refused with ${String(status)}`,
  );
}
