import { quoted } from "../../core/arguments.js";
import { ClosedError, InvalidArgumentError, ProtocolError, TimeoutError } from "../../core/errors.js";
import type { EventNames } from "../../core/event-stream.js";
import { IdleWaits } from "../../core/idle-waits.js";
import { rejectNextTurn, type WaitOptions } from "../../core/waiter.js";
import type { MessageLike } from "../../sockets/message.js";
import { Driver } from "../kit/driver.js";
import { ENDPOINT_SOURCE_EVENTS, type PatternEndpoints } from "../kit/endpoint-list.js";
import { anything, checkKeys, checkOptions, type Given, integer } from "../kit/options.js";
import { StoreError } from "../kit/store/error.js";
import {
  type MajordomoCallOptions,
  MajordomoClient,
  type MajordomoClientEvent,
  type MajordomoClientOptions,
  type MajordomoClientStats,
} from "../majordomo/index.js";
import {
  isServiceName,
  parseStatus,
  parseUuid,
  SERVICE_NAME_RULE,
  TITANIC_SERVICES,
  TitanicStatus,
  UuidSource,
} from "./protocol.js";

/** Options of {@link TitanicClient}: a Majordomo client's, without codecs. */
export type TitanicClientOptions = Omit<MajordomoClientOptions, "requestCodec" | "replyCodec">;

/** Reply of `titanic.reply`. */
export interface TitanicReply {
  readonly status: TitanicStatus;
  /** The reply's frames; with "503" the reason; otherwise empty. */
  readonly body: Buffer[];
}

export interface TitanicRequestOptions extends Omit<MajordomoCallOptions, "headers"> {
  /**
   * 32 hexadecimal digits, from {@link TitanicClient.newUuid}, to repeat the request after a timeout or crash.
   * Default: a new one.
   */
  readonly uuid?: string;
}

const NO_OPTIONS: TitanicRequestOptions & MajordomoCallOptions = Object.freeze({});

/** Default of a Majordomo client. */
const TIMEOUT = 30_000;

const WAIT_OPTIONS = {
  /** ms in total, then `wait` rejects with `ETIMEDOUT`; Titanic keeps the request. Default -1: no limit. */
  timeout: integer({ default: -1, min: -1 }),
  /** First poll interval in ms; multiplied by 1.5 up to `maxInterval`. Default 50. */
  interval: integer({ default: 50 }),
  /** ms. Default 2,000. */
  maxInterval: integer({ default: 2_000 }),
  /** Ends the wait; Titanic keeps the request. */
  signal: anything<AbortSignal>(),
};

/** Options of {@link TitanicClient.wait}. */
export type TitanicWaitOptions = Given<typeof WAIT_OPTIONS>;

const EVENTS: EventNames<MajordomoClientEvent> = {
  "broker:joined": true,
  "broker:left": true,
  "peer:invalid": true,
  ...ENDPOINT_SOURCE_EVENTS,
};

/**
 * Stores requests with Titanic and fetches their replies, now or in another process. Emits its Majordomo client's
 * events.
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
  readonly #uuids = new UuidSource();
  readonly #timeout: number;
  /** Calls of {@link wait}. */
  #waits = 0;
  readonly #idle = new IdleWaits();

  /**
   * @param endpoints of one or more brokers, or a source
   * @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value
   */
  constructor(endpoints: PatternEndpoints, options: TitanicClientOptions = {}) {
    super("TitanicClient", EVENTS);
    for (const name of ["requestCodec", "replyCodec"])
      if ((options as Record<string, unknown> | null)?.[name] !== undefined)
        throw new InvalidArgumentError(
          `TitanicClient has no option ${name}: encode a body before request, and decode the frames of a reply`,
        );
    this.#client = new MajordomoClient(endpoints, options);
    for (const type of Object.keys(EVENTS) as MajordomoClientEvent["type"][])
      this.#client.events.on(type, (event) => this.events.emit(event));
    this.#timeout = options.timeout ?? TIMEOUT;
  }

  /** A UUID for {@link request}, to save before the call. */
  newUuid(): string {
    return this.#uuids.nextText(Date.now());
  }

  /**
   * Stores a request: once this settles, no crash loses it. `retries` repetitions have one UUID and are stored once.
   * After a timeout or `outcome-unknown` it may be stored: repeat it with the same `uuid`. An error of the store names
   * the UUID.
   * @returns its UUID, 32 hexadecimal digits, with which any client can fetch the reply
   * @throws StoreError `failed` (500), `outcome-unknown` (502); InvalidArgumentError `EINVAL`; otherwise as
   *   `MajordomoClient.request`, with `no-service` for a Titanic without `titanic.store`
   */
  request(
    service: string,
    body: MessageLike | MessageLike[],
    options: TitanicRequestOptions = NO_OPTIONS,
  ): Promise<string> {
    try {
      this.assertOpen();
      if (typeof service !== "string" || !isServiceName(service))
        throw new InvalidArgumentError(`service ${SERVICE_NAME_RULE}; got ${quoted(service)}`);
      const frames = Array.isArray(body) ? body : [body];
      if (frames.length === 0) throw new InvalidArgumentError("body must be one frame or more; got none");
      if (options !== NO_OPTIONS)
        checkKeys("TitanicClient.request", options, ["timeout", "retries", "signal", "uuid"]);
      const { uuid = this.newUuid() } = options;
      const limits = options === NO_OPTIONS ? undefined : limitsOf(options, uuid);
      const request = [uuid, service, ...frames];
      return this.#client.requestAs(
        TITANIC_SERVICES.store,
        request,
        (reply) => storedOf(reply, uuid),
        limits,
      );
    } catch (error) {
      return rejectNextTurn(error);
    }
  }

  /** Fetches a reply, which Titanic keeps until `forget` or expiry. */
  reply(uuid: string, options?: MajordomoCallOptions): Promise<TitanicReply> {
    return this.#ask(TITANIC_SERVICES.reply, uuid, replyOf, options);
  }

  /** Polls {@link reply} until it is final: "200", "400", "500" or "503". */
  wait(uuid: string, options: TitanicWaitOptions = {}): Promise<TitanicReply> {
    this.#waits += 1;
    return this.run(() =>
      this.#wait(uuid, options).finally(() => {
        this.#waits -= 1;
        if (this.#waits === 0) this.#idle.end();
      }),
    );
  }

  async #wait(uuid: string, options: TitanicWaitOptions): Promise<TitanicReply> {
    this.assertOpen();
    const settings = checkOptions("TitanicClient.wait", WAIT_OPTIONS, options);
    const { timeout, interval, maxInterval, signal } = settings;
    checkText(uuid);
    const deadline = performance.now() + timeout;
    const left = (): number => Math.max(1, Math.ceil(deadline - performance.now()));
    for (let pause = interval; ; pause = Math.min(pause * 1.5, maxInterval)) {
      const limits = {
        ...(signal === undefined ? {} : { signal }),
        ...(timeout < 0 ? {} : { timeout: Math.min(this.#timeout < 0 ? timeout : this.#timeout, left()) }),
      };
      const reply = await this.#client.requestAs(TITANIC_SERVICES.reply, [uuid], replyOf, limits);
      if (reply.status !== TitanicStatus.PENDING) return reply;
      if (timeout >= 0 && performance.now() >= deadline)
        throw new TimeoutError("ETIMEDOUT", `${uuid} has no reply after ${timeout} ms`);
      await this.#pause(timeout < 0 ? pause : Math.min(pause, left()), signal);
    }
  }

  /** Deletes the request and its reply. */
  forget(uuid: string, options?: MajordomoCallOptions): Promise<void> {
    return this.#ask(TITANIC_SERVICES.close, uuid, forgottenOf, options);
  }

  #ask<T>(
    service: string,
    uuid: string,
    decode: (frames: Buffer[]) => T,
    options?: MajordomoCallOptions,
  ): Promise<T> {
    try {
      this.assertOpen();
      checkText(uuid);
      return this.#client.requestAs(service, [uuid], decode, options);
    } catch (error) {
      return rejectNextTurn(error);
    }
  }

  override stats(): MajordomoClientStats {
    return this.#client.stats();
  }

  /**
   * Settles when a broker answers.
   * @throws as {@link MajordomoClient.ready}
   */
  ready(options?: WaitOptions): Promise<void> {
    return this.#client.ready(options);
  }

  protected override async onDrain(): Promise<void> {
    await this.#idle.wait(this.#waits === 0);
    if (!this.closed) await this.#client.drain();
  }

  /** Stored requests stay with Titanic. */
  protected override async onClose(linger: number): Promise<void> {
    await this.#client.close({ linger });
  }

  /** @throws AbortedError `ABORT_ERR`; ClosedError `EAGAIN` when the client closes */
  async #pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
    if (this.closed) throw new ClosedError("EAGAIN", "The client closed before the answer came");
    try {
      // Nothing is ever reached: the close, the signal or the time ends it.
      await this.whenReached(false, { timeout: Math.max(1, Math.round(ms)), signal });
    } catch (error) {
      if (!(error instanceof TimeoutError)) throw error;
    }
  }
}

/** Titanic answers an invalid text with "400". @throws InvalidArgumentError `EINVAL` */
function checkText(uuid: unknown): void {
  if (typeof uuid !== "string")
    throw new InvalidArgumentError(`uuid must be 32 hexadecimal digits; got ${quoted(uuid)}`);
}

/** @throws InvalidArgumentError `EINVAL` */
function limitsOf(options: TitanicRequestOptions, uuid: string): MajordomoCallOptions {
  if (typeof uuid !== "string" || parseUuid(uuid) === undefined)
    throw new InvalidArgumentError(`uuid must be 32 hexadecimal digits; got ${quoted(uuid)}`);
  const { uuid: _uuid, ...limits } = options;
  return limits;
}

function storedOf([first, stored]: Buffer[], uuid: string): string {
  const what = `The request ${uuid}`;
  checkAccepted(what, first);
  if (stored === undefined) throw new ProtocolError(`${what} was answered without a UUID`);
  return stored.toString("latin1");
}

function replyOf([first, ...body]: Buffer[]): TitanicReply {
  return { status: statusOf("titanic.reply", first), body };
}

function forgottenOf([first]: Buffer[]): void {
  checkAccepted("titanic.close", first);
}

/** @throws StoreError `failed` (500), `outcome-unknown` (502); ProtocolError for any other status but 200 */
function checkAccepted(what: string, first: Buffer | undefined): void {
  const status = statusOf(what, first);
  if (status === TitanicStatus.OK) return;
  const message = `${what} was refused with ${status}`;
  if (status === TitanicStatus.UNCERTAIN) throw new StoreError("outcome-unknown", message);
  if (status === TitanicStatus.ERROR) throw new StoreError("failed", message);
  throw new ProtocolError(message);
}

function statusOf(what: string, first: Buffer | undefined): TitanicStatus {
  const status = parseStatus(first);
  if (status === undefined)
    throw new ProtocolError(`${what} was answered with ${quoted(String(first))}, which is not a status`);
  return status;
}
