import { invalidArgument, quoted } from "../../core/arguments.js";
import { InvalidArgumentError, ProtocolError, TimeoutError } from "../../core/errors.js";
import { rejectNextTurn } from "../../core/waiter.js";
import { anything, checkKeys, checkOptions, type Given, integer } from "../../kit/options.js";
import type { MessageLike } from "../../sockets/message.js";
import { StoreError } from "../../store/store.js";
import { type MajordomoCallOptions, MajordomoClient } from "../majordomo/index.js";
import {
  checkedUuid,
  isServiceName,
  parseStatus,
  SERVICE_NAME_RULE,
  TITANIC_SERVICES,
  TitanicStatus,
  UuidSource,
} from "./protocol.js";

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

/** ms for one poll of a {@link TitanicClient.wait} with a timeout: its answer may be lost, and the next one asks again. */
const POLL_TIMEOUT = 30_000;

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

/**
 * Stores requests with Titanic and fetches their replies, now or in another process, over a Majordomo client, which may
 * have other requests as well. Pending calls end with that client.
 *
 * @example
 * ```ts
 * import { mkdtempSync } from "node:fs";
 * import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "shoal/majordomo";
 * import { LmdbStore, Titanic, TitanicClient } from "shoal/titanic";
 *
 * const broker = new MajordomoBroker();
 * const endpoint = await broker.bind("tcp://127.0.0.1:*");
 * const store = LmdbStore.open(mkdtempSync("/tmp/titanic-"));
 * const titanic = new Titanic(endpoint, store);
 * const worker = new MajordomoWorker(endpoint, "upper", ([text]) => String(text).toUpperCase());
 * const client = new MajordomoClient(endpoint);
 * const requests = new TitanicClient(client);
 * const uuid = await requests.request("upper", "keep me"); // On disk when this settles.
 * console.log(String((await requests.wait(uuid)).body)); // KEEP ME
 * await Promise.all([client.close(), worker.close()]);
 * await titanic.close();
 * await store.close();
 * await broker.close();
 * ```
 */
export class TitanicClient {
  readonly #client: MajordomoClient;
  readonly #uuids = new UuidSource();

  /**
   * @param client closed by its owner
   * @throws InvalidArgumentError `EINVAL` for anything else
   */
  constructor(client: MajordomoClient) {
    if (!(client instanceof MajordomoClient))
      throw invalidArgument("TitanicClient takes a MajordomoClient", client);
    this.#client = client;
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
    options?: TitanicRequestOptions,
  ): Promise<string> {
    try {
      if (typeof service !== "string" || !isServiceName(service))
        throw new InvalidArgumentError(`service ${SERVICE_NAME_RULE}; got ${quoted(service)}`);
      const frames = Array.isArray(body) ? body : [body];
      if (frames.length === 0) throw new InvalidArgumentError("body must be one frame or more; got none");
      if (options !== undefined)
        checkKeys("TitanicClient.request", options, ["timeout", "retries", "signal", "uuid"]);
      const { uuid = this.newUuid(), ...limits } = options ?? {};
      if (options?.uuid !== undefined) checkedUuid(uuid);
      const stored = ([first]: Buffer[]): string => {
        checkAccepted(`The request ${uuid}`, first);
        return uuid.toUpperCase();
      };
      const request = [uuid, service, ...frames];
      return this.#client.requestAs(TITANIC_SERVICES.store, request, stored, { options: options && limits });
    } catch (error) {
      return rejectNextTurn(error);
    }
  }

  /** Fetches a reply, which Titanic keeps until `forget` or expiry. */
  reply(uuid: string, options?: MajordomoCallOptions): Promise<TitanicReply> {
    return this.#ask(TITANIC_SERVICES.reply, uuid, replyOf, options);
  }

  /** Polls {@link reply} until it is final: "200", "400", "500" or "503". A drain of the client ends it: `EAGAIN`. */
  wait(uuid: string, options: TitanicWaitOptions = {}): Promise<TitanicReply> {
    return this.#client.poll(async (rest) => {
      const settings = checkOptions("TitanicClient.wait", WAIT_OPTIONS, options);
      const { timeout, interval, maxInterval, signal } = settings;
      const deadline = performance.now() + timeout;
      const left = (): number => Math.max(1, Math.ceil(deadline - performance.now()));
      for (let pause = interval; ; pause = Math.min(pause * 1.5, maxInterval)) {
        const pollTimeout = timeout < 0 ? undefined : Math.min(POLL_TIMEOUT, left());
        const reply = await this.reply(uuid, { timeout: pollTimeout, signal }).catch(pendingIfLate);
        if (reply.status !== TitanicStatus.PENDING) return reply;
        if (timeout >= 0 && performance.now() >= deadline)
          throw new TimeoutError("ETIMEDOUT", `${uuid} has no reply after ${timeout} ms`);
        await rest(timeout < 0 ? pause : Math.min(pause, left()), signal);
      }
    });
  }

  /** Deletes the request and its reply. */
  forget(uuid: string, options?: MajordomoCallOptions): Promise<void> {
    const decode = ([first]: Buffer[]): void => checkAccepted("titanic.close", first);
    return this.#ask(TITANIC_SERVICES.close, uuid, decode, options);
  }

  #ask<T>(
    service: string,
    uuid: string,
    decode: (frames: Buffer[]) => T,
    options?: MajordomoCallOptions,
  ): Promise<T> {
    try {
      // Titanic answers an invalid text with "400".
      if (typeof uuid !== "string") checkedUuid(uuid);
      return this.#client.requestAs(service, [uuid], decode, { options });
    } catch (error) {
      return rejectNextTurn(error);
    }
  }
}

/** A poll without an answer says nothing about the request. */
function pendingIfLate(error: unknown): TitanicReply {
  if (error instanceof TimeoutError) return { status: TitanicStatus.PENDING, body: [] };
  throw error;
}

function replyOf([first, ...body]: Buffer[]): TitanicReply {
  return { status: statusOf("titanic.reply", first), body };
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
