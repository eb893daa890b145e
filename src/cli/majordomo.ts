/** shoal majordomo broker, worker, call: services behind a broker (7/MDP, 18/MDP). */
import { type Command, Option } from "commander";
import { loadOptional } from "../core/optional-package.js";
import type { MetricsSourcesByName } from "../metrics/index.js";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "../patterns/majordomo/index.js";
import { openTitanic, type TitanicService } from "../patterns/titanic/index.js";
import { withEndpoints } from "./endpoints.js";
import { asUsage, describe, Failure, UsageError } from "./failure.js";
import { Log } from "./log.js";
import { addOperationOptions, type OperationSettings, operate, printStats } from "./operation.js";
import {
  addCommand,
  addGroup,
  addSocketCommand,
  addSocketOptions,
  defined,
  describeOptions,
  type Given,
  hideOptions,
  ONE_RUN,
  type Settings,
  settingsFor,
  wholeNumber,
} from "./options.js";
import { addPairOptions, Pair, type PairSettings } from "./pair.js";
import { clientOf, type SecurityOptions, securityOptions } from "./security.js";
import { type AnswerSettings, addAnswerOptions, answerer, callFailure, runCalls } from "./service.js";
import { type Service, Stop } from "./stop.js";

/** Requests of one input that are in flight at once. */
const PIPELINE = 100;
/** How long a call waits for its reply, in ms. */
const TIMEOUT = 30_000;

interface CallSettings extends Settings {
  readonly heartbeat?: number;
}

interface WorkerSettings extends Settings, AnswerSettings, OperationSettings {
  readonly concurrency?: number;
  readonly prefetch?: number;
  readonly heartbeat?: number;
}

export function addMajordomoCommand(program: Command): void {
  const majordomo = addGroup(program, {
    name: "majordomo",
    summary: "services behind a broker: broker, worker, call (MDP 0.1 and 0.2)",
    description: "A broker that distributes requests to the workers of each service, its workers, and calls.",
    examples: [
      "shoal majordomo broker --bind tcp://127.0.0.1:5555",
      'shoal majordomo worker upper --connect tcp://127.0.0.1:5555 --exec "tr a-z A-Z"',
      "shoal majordomo call upper hello --connect tcp://127.0.0.1:5555",
    ],
  });
  addBrokerCommand(majordomo);
  const worker = addAnswerOptions(
    addSocketOptions(
      addCommand(majordomo, {
        name: "worker",
        summary: "offer a service",
        description:
          "Offers a service at each broker that it connects to: an echo, or a program that is run for each request.",
        examples: ['shoal majordomo worker upper --connect tcp://127.0.0.1:5555 --exec "tr a-z A-Z"'],
      }).argument("<service>", "the service's name"),
    ),
  )
    .option("--concurrency <N>", "requests handled at once (default 1)", wholeNumber(1))
    .option(
      "--prefetch <N>",
      "requests queued here while others are handled (default 16; with a concurrency of 16 or more, the larger of that and 100)",
      wholeNumber(0),
    )
    .option("--heartbeat <MS>", "interval of heartbeats to a broker (default 2500)", wholeNumber(1))
    .action((service: string, given: Given<WorkerSettings>) => runWorker(service, given));
  hideOptions(addOperationOptions(worker), ["bind", "json", ...ONE_RUN]);
  const calls = addSocketOptions(
    addCommand(majordomo, {
      name: "call",
      summary: "call a service",
      description:
        "Sends one request with a frame per BODY, or a request per message of standard input, and prints the replies. " +
        "With several --connect, the next broker is tried when one is silent.",
      examples: [
        "shoal majordomo call upper hello --connect tcp://127.0.0.1:5555",
        "shoal majordomo call mmi.service upper --connect tcp://127.0.0.1:5555",
      ],
    })
      .argument("<service>", "the service's name")
      .argument("[body...]", "the frames of one request (default: standard input)"),
  )
    .option("--heartbeat <MS>", "interval of heartbeats to the broker (default 2500)", wholeNumber(1))
    .action((service: string, body: string[], given: Given<CallSettings>) => call(service, body, given));
  hideOptions(calls, ["bind"]);
}

async function runWorker(service: string, given: Given<WorkerSettings>): Promise<void> {
  const settings = settingsFor(given, "connect", [...ONE_RUN, "json"]);
  const { concurrency = 1, prefetch, heartbeat } = settings;
  const answer = answerer(settings, { SHOAL_SERVICE: service });
  const log = new Log("majordomo worker");
  const socketOptions = await securityOptions(settings, settings);
  await withEndpoints("majordomo worker", settings.connect, settings, log, async (connect) => {
    const worker = await asUsage(
      () =>
        new MajordomoWorker(connect, service, answer, {
          concurrency,
          exposeErrors: true,
          socketOptions,
          ...defined({ prefetch, heartbeatInterval: heartbeat }),
        }),
    );
    worker.events
      .on("broker:joined", (e) => log.info(`offering ${service} at ${e.endpoint}`))
      .on("broker:left", (e) => log.info(`lost the broker at ${e.endpoint}: ${e.reason}`))
      .on("handler:failed", (e) => log.warn(`a request failed: ${describe(e.error)}`));
    await operate(
      { settings, log, stop: new Stop().listen(), service: worker, sources: () => ({ worker }) },
      async () => undefined,
    );
  });
}

async function call(service: string, body: readonly string[], given: Given<CallSettings>): Promise<void> {
  const settings = settingsFor(given, "connect");
  const { timeout = TIMEOUT, heartbeat } = settings;
  const log = new Log("majordomo call");
  const socketOptions = await securityOptions(settings, settings);
  await withEndpoints("majordomo call", settings.connect, settings, log, (connect) =>
    runCalls({
      body,
      settings,
      pipeline: PIPELINE,
      open() {
        const client = new MajordomoClient(connect, {
          socketOptions,
          ...defined({ heartbeatInterval: heartbeat }),
        });
        client.events.on("broker:left", (e) => log.debug(`the broker at ${e.endpoint}: ${e.reason}`));
        return {
          request: (frames, { signal }) => client.request(service, frames, { timeout, signal }),
          close: () => client.close(),
        };
      },
      explain: (error) => callFailure(error, timeout),
    }),
  );
}

/**
 * shoal majordomo broker: alone or as one of a pair, with durable requests or without.
 *
 *   alone    bound ──> Titanic open ────────────────────> signal: Titanic drains, then the broker
 *   a pair   bound ──> state published ──> serves: Titanic open
 *                                          stands by: Titanic closed
 */

interface TitanicSettings {
  readonly titanicAttempts?: number;
  readonly titanicTimeout?: number;
  readonly titanicDamaged?: "refuse" | "set-aside";
}

interface BrokerSettings extends Settings, PairSettings, OperationSettings, TitanicSettings {
  readonly heartbeat?: number;
  readonly queueTimeout?: number;
  readonly titanic?: string;
}

export function addBrokerCommand(majordomo: Command): void {
  const command = addSocketCommand<BrokerSettings>(
    majordomo,
    {
      name: "broker",
      summary: "distribute requests to workers",
      description:
        "Binds, and distributes requests to the workers that connect. Logs workers that join and leave. With --titanic, " +
        "clients can store requests that survive every process.",
      examples: [
        "shoal majordomo broker --bind tcp://127.0.0.1:5555",
        "shoal majordomo broker --bind tcp://127.0.0.1:5555 --titanic requests",
        'shoal majordomo broker --bind "tcp://*:5555" --binary-star primary --peer tcp://backup.example:5556',
      ],
    },
    runBroker,
  )
    .option("--heartbeat <MS>", "interval of heartbeats to a worker (default 2500)", wholeNumber(1))
    .option(
      "--queue-timeout <MS>",
      "how long a request waits for a worker, at most (default 30000)",
      wholeNumber(1),
    )
    .option("--titanic <DIR>", "keep durable requests in DIR (9/TSP; needs the package lmdb)")
    .option(
      "--titanic-attempts <N>",
      "failed attempts before a request becomes a dead letter (default 10)",
      wholeNumber(1),
    )
    .option("--titanic-timeout <MS>", "time-out of one attempt (default 30000)", wholeNumber(1))
    .addOption(
      new Option(
        "--titanic-damaged <WHAT>",
        "what to do with a damaged file in DIR (default refuse)",
      ).choices(["refuse", "set-aside"]),
    );
  describeOptions(command, { json: "print the counters as JSON at the end" });
  hideOptions(command, ["connect", ...ONE_RUN]);
  addOperationOptions(addPairOptions(command));
}

async function runBroker(given: Given<BrokerSettings>): Promise<void> {
  const settings = settingsFor(given, "bind", ONE_RUN);
  const log = new Log("majordomo broker");
  const { queueTimeout, heartbeat } = settings;
  const security = await securityOptions(settings, settings);
  const ofTitanic = ["titanicAttempts", "titanicTimeout", "titanicDamaged"] as const;
  if (settings.titanic === undefined && ofTitanic.some((name) => settings[name] !== undefined))
    throw new UsageError("--titanic-… needs --titanic DIR");
  const titanic =
    settings.titanic === undefined
      ? undefined
      : new TitanicPart(settings.titanic, settings, clientOf(security, settings), log);
  const pair = await Pair.from(settings, security, log);
  const broker = new MajordomoBroker({
    socketOptions: security,
    ...defined({ queueTimeout, heartbeatInterval: heartbeat, gate: pair?.gate }),
  });
  report(broker, log);
  const stop = new Stop().listen();
  const service = new BrokerService(broker, titanic, pair, () => stop.request());
  const sources = () => ({ broker, ...titanic?.sources, ...pair?.sources });
  await operate({ settings, log, stop, service, sources }, async () => {
    for (const endpoint of settings.bind) {
      await asUsage(() => broker.bind(endpoint));
      log.info(`listening at ${broker.lastEndpoint ?? endpoint}`);
    }
    if (pair === undefined) titanic?.open(broker.lastEndpoint as string);
    else await pair.start(log);
  });
  printStats(settings, broker.stats());
}

function report(broker: MajordomoBroker, log: Log): void {
  broker.events
    .on("worker:joined", (e) => log.info(`worker ${e.worker} offers ${e.service} (MDP ${e.dialect})`))
    .on("worker:left", (e) => log.info(`worker ${e.worker} leaves ${e.service}: ${e.reason}`))
    .on("request:failed", (e) => log.debug(`a request for ${e.service} failed: ${e.reason}`))
    .on("peer:invalid", (e) => log.warnOnce(`a peer violated the protocol: ${e.reason}`));
}

/** A broker with what is opened and closed along with it, in order. */
class BrokerService implements Service {
  readonly #broker: MajordomoBroker;
  readonly #titanic: TitanicPart | undefined;
  readonly #pair: Pair | undefined;
  readonly #onFailure: () => void;
  /** Titanic opens and closes one after the other, however quickly the pair's state changes. */
  #turn: Promise<void> = Promise.resolve();
  #failure: unknown;
  #closing: Promise<void> | undefined;

  constructor(
    broker: MajordomoBroker,
    titanic: TitanicPart | undefined,
    pair: Pair | undefined,
    onFailure: () => void,
  ) {
    this.#broker = broker;
    this.#titanic = titanic;
    this.#pair = pair;
    this.#onFailure = onFailure;
    if (titanic === undefined || pair === undefined) return;
    // At a broker that stands by, its client would count as a client vote, and its folder may be the peer's too.
    pair.star.events.on("state:changed", ({ state }) =>
      this.#next(() => (state === "active" ? titanic.open(broker.lastEndpoint as string) : titanic.close(0))),
    );
  }

  close({ linger }: { readonly linger: number }): Promise<void> {
    this.#closing ??= this.#close(linger);
    return this.#closing;
  }

  async #close(linger: number): Promise<void> {
    await this.#pair?.drain();
    await this.#turn;
    await this.#titanic?.close(linger);
    await this.#broker.close({ linger });
    await this.#pair?.close();
    if (this.#failure !== undefined) throw this.#failure;
  }

  #next(step: () => Promise<void> | void): void {
    this.#turn = this.#turn
      .then(() => (this.#closing === undefined ? step() : undefined))
      .catch((error: unknown) => {
        this.#failure ??= error;
        this.#onFailure();
      });
  }
}

/** `--titanic DIR`: durable requests, while the broker serves. */
class TitanicPart {
  readonly #directory: string;
  readonly #options: TitanicSettings;
  readonly #security: SecurityOptions;
  readonly #log: Log;
  #service: TitanicService | undefined;

  /**
   * @param security of a client of the broker
   * @throws NotSupportedError `ERR_PACKAGE_UNAVAILABLE` when the package that it needs is not installed
   */
  constructor(directory: string, options: TitanicSettings, security: SecurityOptions, log: Log) {
    loadOptional("lmdb", "--titanic");
    this.#directory = directory;
    this.#options = options;
    this.#security = security;
    this.#log = log;
  }

  /** @throws Failure when the folder cannot be used */
  open(endpoint: string): void {
    const log = this.#log;
    try {
      const { titanicAttempts, titanicTimeout, titanicDamaged } = this.#options;
      this.#service = openTitanic(endpoint, this.#directory, {
        socketOptions: this.#security,
        ...defined({ maxAttempts: titanicAttempts, timeout: titanicTimeout }),
        store: defined({ damagedFile: titanicDamaged }),
      });
    } catch (error) {
      const { cause } = error as Error;
      const why = cause === undefined ? "" : ` (${describe(cause)})`;
      throw new Failure(`--titanic ${this.#directory}: ${describe(error)}${why}`);
    }
    const { titanic, damagedFile } = this.#service;
    if (damagedFile !== undefined)
      log.warn(
        `the store in ${this.#directory} was damaged (${damagedFile.reason}) and renamed to ${damagedFile.file}`,
      );
    titanic.events
      .on("request:retried", (e) =>
        log.debug(`retrying request ${e.uuid} for ${e.service}: ${describe(e.error)}`),
      )
      .on("request:buried", (e) =>
        log.warn(
          `request ${e.uuid} for ${e.service} failed ${e.attempts} times and is a dead letter now: ${e.reason}`,
        ),
      )
      .on("record:damaged", (e) => log.warn(`record ${e.uuid} is damaged and was set aside: ${e.reason}`))
      .on("store:failed", (e) => log.warnOnce(`the store in ${this.#directory}: ${describe(e.error)}`));
    log.info(`keeping requests in ${this.#directory}: ${titanic.stats().store.pending} pending`);
  }

  /** For metrics: there while it is open. */
  get sources(): MetricsSourcesByName {
    return this.#service === undefined ? {} : { titanic: this.#service.titanic };
  }

  /** To be called before the broker closes. It can be opened again. */
  async close(linger: number): Promise<void> {
    const service = this.#service;
    this.#service = undefined;
    await service?.close({ linger });
  }
}
