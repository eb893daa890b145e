/**
 * Titanic (9/TSP): a Majordomo service that stores requests until they are answered, and replies until they are
 * fetched.
 *
 *   client --titanic.request--> broker --> this, the store --> UUID to the client
 *                                           this --request--> broker --> worker
 *   client <--titanic.reply---- broker <-- this, the store <-- reply
 *
 * It has four workers and a client of the broker, a store and a dispatcher.
 */

import { checkInteger } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { INT32 } from "../../core/option-spec.js";
import { withTimeout } from "../../core/waiter.js";
import { Driver } from "../../kit/driver.js";
import type { PatternEndpoints } from "../../kit/endpoint-list.js";
import { checkOptions } from "../../kit/options.js";
import type { TITANIC } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import { StoreError } from "../../store/store.js";
import { MajordomoClient, MajordomoWorker } from "../majordomo/index.js";
import { OPTIONS, type TitanicOptions, type TitanicSettings } from "./dispatch-rules.js";
import { Dispatcher, EVENTS, MAX_QUEUED, type TitanicEvent } from "./dispatcher.js";
import {
  checkedUuid,
  formatUuid,
  parseReference,
  parseRequest,
  parseUuid,
  type StoreCommand,
  TITANIC_SERVICES,
  TitanicStatus,
  UuidSource,
} from "./protocol.js";
import type { TitanicStore, TitanicStoredDeadLetter, TitanicStoreStats } from "./store.js";

export type TitanicStats = StatisticsOf<typeof TITANIC>;

/** ms that a closing Titanic waits for the store after its calls have ended. */
const STORE_GRACE = 1_000;

type Answer = (Buffer | string)[];

export interface TitanicDeadLetter extends Omit<TitanicStoredDeadLetter, "uuid" | "service"> {
  /** 32 hexadecimal digits. */
  readonly uuid: string;
  readonly service: string;
}

/**
 * Serves 9/TSP at a broker: stores requests until they are answered, and replies until they are fetched.
 *
 * @example
 * ```ts
 * import { mkdtempSync } from "node:fs";
 * import { MajordomoBroker } from "shoal/majordomo";
 * import { LmdbStore, Titanic } from "shoal/titanic";
 *
 * const broker = new MajordomoBroker();
 * const store = LmdbStore.open(mkdtempSync("/tmp/titanic-"));
 * const titanic = new Titanic(await broker.bind("tcp://127.0.0.1:*"), store); // For TitanicClients.
 * await titanic.close();
 * await store.close();
 * await broker.close();
 * ```
 */
export class Titanic extends Driver<TitanicEvent, TitanicStats & { readonly store: TitanicStoreStats }> {
  readonly #store: TitanicStore;
  readonly #settings: TitanicSettings;
  readonly #client: MajordomoClient;
  readonly #workers: MajordomoWorker[] = [];
  readonly #dispatcher: Dispatcher;
  readonly #uuids = new UuidSource();
  readonly #counters = {
    stored: 0,
    repeated: 0,
    refused: 0,
    damaged: 0,
    malformed: 0,
  };

  /**
   * @param endpoints of one or more brokers, or a source
   * @param store closed by its owner, after this
   * @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value
   */
  constructor(endpoints: PatternEndpoints, store: TitanicStore, options: TitanicOptions = {}) {
    super("Titanic", EVENTS);
    if (typeof store?.put !== "function") throw new InvalidArgumentError("Titanic needs a store");
    const settings = checkOptions("Titanic", OPTIONS, options);
    const { socketOptions } = settings;
    this.#settings = settings;
    this.#store = store;
    this.#client = new MajordomoClient(endpoints, {
      socketOptions,
      retries: 0,
      timeout: Math.min(settings.timeout + MAX_QUEUED, INT32),
      maxInFlight: 2 * settings.concurrency,
    });
    for (const type of ["source:changed", "source:failed", "endpoint:refused"] as const)
      this.#client.events.on(type, (event) => this.events.emit(event));
    store.onDamage = (record) => {
      this.#counters.damaged += 1;
      this.events.emit({ type: "record:damaged", ...record });
    };
    this.#dispatcher = new Dispatcher(store, this.#client, settings, (event) => this.events.emit(event));
    // RFC 9 has its own status of failures.
    const handlers = [
      [
        TITANIC_SERVICES.request,
        (frames: Buffer[]) => this.#put(parseRequest(this.#uuids.next(Date.now()), frames)),
      ],
      [TITANIC_SERVICES.reply, (frames: Buffer[]) => this.#reply(frames).catch(this.#refused)],
      [TITANIC_SERVICES.close, (frames: Buffer[]) => this.#forget(frames).catch(this.#refused)],
      [
        TITANIC_SERVICES.store,
        (frames: Buffer[]) => this.#put(parseRequest(parseUuid(frames[0]), frames.slice(1))),
      ],
    ] as const;
    const workerOptions = { socketOptions, concurrency: settings.workerConcurrency };
    try {
      for (const [service, handler] of handlers)
        this.#workers.push(
          new MajordomoWorker(endpoints, service, (frames) => handler(frames), workerOptions),
        );
    } catch (error) {
      void this.close({ linger: 0 }); // The context has no room for their sockets.
      throw error;
    }
  }

  override stats(): TitanicStats & { readonly store: TitanicStoreStats } {
    return { ...this.#counters, ...this.#dispatcher.stats(), store: this.#store.stats() };
  }

  /**
   * Dead letters in order of UUID, normally that of arrival.
   * @param limit Default 100
   * @param after last UUID seen
   * @throws InvalidArgumentError `EINVAL`; StoreError `ERR_STORE`
   */
  async deadLetters(limit: number = 100, after?: string): Promise<TitanicDeadLetter[]> {
    checkInteger("limit", limit, 1, INT32);
    const letters = await this.#store.deadLetters(
      limit,
      after === undefined ? undefined : checkedUuid(after),
    );
    return letters.map((letter) => ({
      ...letter,
      uuid: formatUuid(letter.uuid),
      service: letter.service.toString(),
    }));
  }

  /** Unanswered requests stay in the store. */
  protected override async onDrain(): Promise<void> {
    await Promise.all([this.#dispatcher.stop(), ...this.#workers.map((worker) => worker.drain())]);
  }

  /** Calls in flight have `linger` ms, and the store a second more. It stays open. */
  protected override async onClose(linger: number): Promise<void> {
    const timer = linger < 0 ? undefined : setTimeout(() => void this.#client.close(), linger);
    const stopped = withTimeout(this.#dispatcher.stop(), linger < 0 ? linger : linger + STORE_GRACE);
    await Promise.all(this.#workers.map((worker) => worker.close({ linger })));
    await stopped;
    clearTimeout(timer);
    await this.#client.close();
    this.#store.onDamage = undefined;
  }

  async #put(command: StoreCommand | string): Promise<Answer> {
    if (typeof command === "string") {
      this.#counters.malformed += 1;
      this.events.emit({ type: "request:invalid", reason: command });
      return [TitanicStatus.ERROR];
    }
    const { uuid, service, body } = command;
    const expires = Date.now() + this.#settings.requestTtl;
    try {
      if (await this.#store.put({ uuid, service, body, expires })) {
        this.#counters.stored += 1;
        this.#dispatcher.stored(service);
      } else {
        this.#counters.repeated += 1;
      }
    } catch (error) {
      return this.#refused(error);
    }
    return [TitanicStatus.OK, formatUuid(uuid)];
  }

  async #reply(frames: Buffer[]): Promise<Answer> {
    const uuid = parseReference(frames);
    if (uuid === undefined) return [TitanicStatus.UNKNOWN];
    const found = await this.#store.look(uuid);
    switch (found.state) {
      case "answered":
        return [TitanicStatus.OK, ...found.reply];
      case "pending":
        return [TitanicStatus.PENDING];
      case "unknown":
        return [TitanicStatus.UNKNOWN];
      case "damaged":
        return [TitanicStatus.ERROR];
      case "dead":
        return [TitanicStatus.DEAD, found.reason];
    }
  }

  /** 200 for unknown requests, too (9/TSP, titanic.close): a client repeats it after a lost answer. */
  async #forget(frames: Buffer[]): Promise<Answer> {
    const uuid = parseReference(frames);
    if (uuid !== undefined) await this.#store.forget(uuid);
    return [TitanicStatus.OK];
  }

  #refused = (error: unknown): Answer => {
    this.#counters.refused += 1;
    this.events.emit({ type: "store:failed", error });
    const isUnknown = error instanceof StoreError && error.reason === "outcome-unknown";
    return [isUnknown ? TitanicStatus.UNCERTAIN : TitanicStatus.ERROR];
  };
}
