/**
 * Titanic (9/TSP): a Majordomo service that keeps requests until they are
 * answered, and replies until they are fetched. Client and worker need not be
 * there at the same time.
 *
 *   client --titanic.request--> broker --> this, the store --> UUID to the client
 *                                           this --request--> broker --> worker
 *   client <--titanic.reply---- broker <-- this, the store <-- reply
 *
 * Three workers and a client of the broker, around a store and a dispatcher.
 */
import { isUtf8 } from "node:buffer";
import { InvalidArgumentError } from "../../core/errors.js";
import type { DealerOptions } from "../../sockets/request-reply.js";
import { PatternEvents } from "../common/events.js";
import { lingerOf, type PatternCloseOptions } from "../majordomo/broker.js";
import { resolve } from "../majordomo/broker-options.js";
import { MajordomoClient } from "../majordomo/client.js";
import { MajordomoWorker } from "../majordomo/worker.js";
import type { RequestContext } from "../majordomo/worker-jobs.js";
import { Dispatcher, type ServiceCaller } from "./dispatcher.js";
import { answer, parseReference, parseRequest, stored, TITANIC_SERVICES, TitanicStatus } from "./protocol.js";
import type { ClaimedRequest, DamagedRecord, StoreStats, TitanicStore } from "./store.js";
import { DEFAULTS, type TitanicEvent, type TitanicOptions, type TitanicStats } from "./titanic-options.js";
import { formatUuid, UuidSource } from "./uuid.js";

/** Part of a call's time that a lease is longer: the reply still has to be kept. */
const LEASE_MARGIN = 30_000;

export class Titanic {
  /** What is stored, answered, failed, expired, and what is wrong with the store. */
  readonly events: PatternEvents<TitanicEvent> = new PatternEvents<TitanicEvent>();
  readonly #store: TitanicStore;
  readonly #settings: typeof DEFAULTS;
  readonly #client: MajordomoClient;
  readonly #workers: MajordomoWorker[];
  readonly #dispatcher: Dispatcher;
  readonly #uuids = new UuidSource();
  readonly #abort = new AbortController();
  readonly #counters = {
    stored: 0,
    refused: 0,
    answered: 0,
    failed: 0,
    expired: 0,
    damaged: 0,
    malformed: 0,
  };
  #closing: Promise<void> | undefined;

  /**
   * Begins to serve `titanic.request`, `titanic.reply` and `titanic.close`, and to work off what the store holds.
   *
   * @param endpoints of the broker, or of several
   * @param store its owner closes it, after `close` of this
   * @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value
   */
  constructor(endpoints: string | readonly string[], store: TitanicStore, options: TitanicOptions = {}) {
    const { socketOptions, ...given } = options;
    if (typeof store?.put !== "function") throw new InvalidArgumentError("Titanic needs a store");
    this.#settings = resolve(DEFAULTS, given, "Titanic");
    const settings = this.#settings;
    this.#store = store;
    store.onDamage = (record) => this.#damaged(record);
    const sockets: { socketOptions?: DealerOptions } = socketOptions === undefined ? {} : { socketOptions };
    this.#client = new MajordomoClient(endpoints, {
      ...sockets,
      retries: 0,
      timeout: settings.timeout,
      maxInFlight: 2 * settings.concurrency,
    });
    this.#dispatcher = new Dispatcher(
      store,
      this.#caller(),
      {
        limits: settings,
        lease: settings.timeout + LEASE_MARGIN,
        replyTtl: settings.replyTtl,
        expireInterval: settings.expireInterval,
        wallClock: Date.now,
      },
      {
        answered: (request) => this.#answered(request),
        failed: (request, error) => this.#failed(request, error),
        expired: (count) => {
          this.#counters.expired += count;
          this.events.emit({ type: "expire", count });
        },
        storeFailed: (error) => this.events.emit({ type: "store:error", error }),
      },
    );
    const handlers = [
      [TITANIC_SERVICES.request, this.#request],
      [TITANIC_SERVICES.reply, this.#reply],
      [TITANIC_SERVICES.close, this.#forget],
    ] as const;
    this.#workers = handlers.map(
      ([service, handler]) =>
        new MajordomoWorker(
          endpoints,
          service,
          // RFC 9 has a status for a failure, so a client never needs to see the broker's own.
          (frames: Buffer[], _context: RequestContext) =>
            handler(frames).catch((error) => this.#refused(error)),
          { ...sockets, concurrency: settings.workerConcurrency },
        ),
    );
  }

  /** Whether `close` was called. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /** The accounts at this moment, and the store's. */
  stats(): TitanicStats & { readonly store: StoreStats } {
    return { ...this.#counters, ...this.#dispatcher.stats(), store: this.#store.stats() };
  }

  /**
   * Stops: takes nothing new; calls in hand have `linger` ms to end. What is not answered by then stays in
   * the store. Closing twice is closing once. The store stays open.
   */
  close(options?: PatternCloseOptions): Promise<void> {
    const linger = lingerOf(options);
    this.#closing ??= this.#close(linger);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(linger: number): Promise<void> {
    const stopped = this.#dispatcher.stop();
    const timer = linger < 0 ? undefined : setTimeout(() => this.#abort.abort(), linger);
    await Promise.all(this.#workers.map((worker) => worker.close({ linger })));
    await stopped;
    clearTimeout(timer);
    await this.#client.close();
    this.#store.onDamage = undefined;
    this.events.close();
  }

  #request = async (frames: Buffer[]): Promise<Buffer[]> => {
    const command = parseRequest(frames);
    if (typeof command === "string" || !isUtf8(command.service)) {
      this.#counters.malformed += 1;
      const reason = typeof command === "string" ? command : "the service's name is no UTF-8";
      this.events.emit({ type: "refuse", reason });
      return answer(TitanicStatus.ERROR);
    }
    const now = Date.now();
    const uuid = this.#uuids.next(now);
    await this.#store.put({ uuid, ...command, expires: now + this.#settings.requestTtl });
    this.#counters.stored += 1;
    this.#dispatcher.stored(command.service);
    return stored(uuid);
  };

  #reply = async (frames: Buffer[]): Promise<Buffer[]> => {
    const uuid = parseReference(frames);
    if (uuid === undefined) return answer(TitanicStatus.UNKNOWN);
    const found = await this.#store.look(uuid);
    switch (found.state) {
      case "answered":
        return answer(TitanicStatus.OK, found.reply);
      case "pending":
        return answer(TitanicStatus.PENDING);
      case "unknown":
        return answer(TitanicStatus.UNKNOWN);
      case "damaged":
        return answer(TitanicStatus.ERROR);
    }
  };

  /** 200 for what was never there, too (9/TSP, titanic.close): a client that asks again after a lost answer is done. */
  #forget = async (frames: Buffer[]): Promise<Buffer[]> => {
    const uuid = parseReference(frames);
    if (uuid !== undefined) await this.#store.forget(uuid);
    return answer(TitanicStatus.OK);
  };

  #refused(error: unknown): Buffer[] {
    this.#counters.refused += 1;
    this.events.emit({ type: "store:error", error });
    return answer(TitanicStatus.ERROR);
  }

  #caller(): ServiceCaller {
    const { signal } = this.#abort;
    const { checkTimeout } = this.#settings;
    return {
      available: async (service) => {
        const [status] = await this.#client.request("mmi.service", [service], {
          timeout: checkTimeout,
          signal,
        });
        return status?.toString("latin1") === "200";
      },
      call: (service, body) => this.#client.request(service.toString(), [...body], { signal }),
    };
  }

  #answered(request: ClaimedRequest): void {
    this.#counters.answered += 1;
    this.events.emit({ type: "answer", uuid: formatUuid(request.uuid), service: request.service.toString() });
  }

  #failed(request: ClaimedRequest, error: unknown): void {
    this.#counters.failed += 1;
    const { uuid, service, attempts } = request;
    this.events.emit({
      type: "retry",
      uuid: formatUuid(uuid),
      service: service.toString(),
      attempts,
      error,
    });
  }

  #damaged(record: DamagedRecord): void {
    this.#counters.damaged += 1;
    this.events.emit({ type: "damage", ...record });
  }
}
