/** shoal majordomo broker, worker, call: services behind a broker (7/MDP, 18/MDP). */
import type { Command } from "commander";
import { defined } from "../core/arguments.js";
import { loadOptional } from "../core/packages.js";
import type { MetricsSourcesByName } from "../metrics/index.js";
import type { BinaryStar } from "../patterns/binary-star/index.js";
import { OPTIONS as BROKER } from "../patterns/majordomo/broker-options.js";
import { OPTIONS as CLIENT } from "../patterns/majordomo/client-options.js";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "../patterns/majordomo/index.js";
import { OPTIONS as WORKER } from "../patterns/majordomo/worker-options.js";
import { OPTIONS as TITANIC } from "../patterns/titanic/dispatch-rules.js";
import { LmdbStore, Titanic } from "../patterns/titanic/index.js";
import { withEndpoints } from "./endpoints.js";
import { asUsage, describe, describeDeep, Failure, UsageError } from "./failure.js";
import { Log } from "./log.js";
import { addOperationOptions, type OperationSettings, serve } from "./operation.js";
import {
  addClusterOptions,
  addCommand,
  addGroup,
  addSharedOptions,
  checkSettings,
  type Given,
  numberFlag,
  type Settings,
} from "./options.js";
import { addPairOptions, Pair, type PairSettings } from "./pair.js";
import { addSecurityOptions, clientOf, type SecurityOptions, securityOptions } from "./security.js";
import { type AnswerSettings, addAnswerOptions, answerer, callFailure, runCalls } from "./service.js";

interface CallSettings extends Settings {
  readonly heartbeat?: number;
}

interface WorkerSettings extends Settings, AnswerSettings, OperationSettings {
  readonly concurrency?: number;
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
  const worker = addCommand(majordomo, {
    name: "worker",
    summary: "offer a service",
    description:
      "Offers a service at each broker that it connects to: an echo, or a program that is run for each request.",
    examples: ['shoal majordomo worker upper --connect tcp://127.0.0.1:5555 --exec "tr a-z A-Z"'],
  }).argument("<service>", "the service's name");
  addClusterOptions(addSecurityOptions(addSharedOptions(worker, ["connect"]), "connect"));
  addOperationOptions(addAnswerOptions(worker))
    .addOption(numberFlag("--concurrency <N>", "requests handled at once", WORKER.concurrency))
    .addOption(numberFlag("--heartbeat <MS>", "interval of heartbeats to a broker", WORKER.heartbeatInterval))
    .action((service: string, given: Given<WorkerSettings>) => runWorker(service, given));
  const calls = addCommand(majordomo, {
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
    .argument("[body...]", "the frames of one request (default: standard input)");
  addSharedOptions(calls, ["connect", "count", "timeout", "multipart", "json", "raw"]);
  addClusterOptions(addSecurityOptions(calls, "connect"))
    .addOption(
      numberFlag("--heartbeat <MS>", "interval of heartbeats to the broker", CLIENT.heartbeatInterval),
    )
    .action((service: string, body: string[], given: Given<CallSettings>) => call(service, body, given));
}

async function runWorker(service: string, given: Given<WorkerSettings>): Promise<void> {
  const settings = checkSettings<WorkerSettings>(given, "--connect EP");
  const { concurrency, heartbeat } = settings;
  const answer = answerer(settings);
  const log = new Log("majordomo worker");
  const socketOptions = await securityOptions(settings, settings);
  await withEndpoints("majordomo worker", settings.connect, settings, log, (connect) =>
    serve({
      settings,
      log,
      create: () =>
        new MajordomoWorker(connect, service, answer, {
          socketOptions,
          ...defined({ concurrency, heartbeatInterval: heartbeat }),
        }),
      report: (worker) =>
        worker.events
          .on("broker:joined", (e) => log.info(`offering ${service} at ${e.endpoint}`))
          .on("broker:left", (e) => log.info(`lost the broker at ${e.endpoint}: ${e.reason}`))
          .on("handler:failed", (e) => log.warn(`a request failed: ${describe(e.error)}`)),
      sources: (worker) => ({ worker }),
    }),
  );
}

async function call(service: string, body: readonly string[], given: Given<CallSettings>): Promise<void> {
  const settings = checkSettings<CallSettings>(given, "--connect EP");
  const { timeout = CLIENT.timeout.default, heartbeat } = settings;
  const log = new Log("majordomo call");
  const socketOptions = await securityOptions(settings, settings);
  if (body.length > 0 && settings.count !== undefined) throw new UsageError("--count needs standard input");
  await withEndpoints("majordomo call", settings.connect, settings, log, async (connect) => {
    const client = await asUsage(
      () => new MajordomoClient(connect, { socketOptions, ...defined({ heartbeatInterval: heartbeat }) }),
    );
    client.events.on("broker:left", (e) => log.debug(`the broker at ${e.endpoint}: ${e.reason}`));
    const request = (frames: Buffer[], signal: AbortSignal): Promise<Buffer[]> =>
      client.request(service, frames, { timeout, signal });
    try {
      await runCalls({ body, settings, request });
    } catch (error) {
      throw callFailure(error, timeout);
    } finally {
      await client.close();
    }
  });
}

/**
 * shoal majordomo broker: alone or in a pair, with or without durable requests.
 *
 *   alone    bound ──> Titanic open ────────────────────> signal: Titanic drains, then the broker
 *   a pair   bound ──> state published ──> serves: Titanic open
 *                                          stands by: Titanic closed
 */

interface BrokerSettings extends Settings, PairSettings, OperationSettings {
  readonly heartbeat?: number;
  readonly titanic?: string;
  readonly titanicAttempts?: number;
}

function addBrokerCommand(majordomo: Command): void {
  const command = addCommand(majordomo, {
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
  });
  addSharedOptions(command, ["bind", "json"], { json: "print the counters as JSON at the end" });
  addOperationOptions(addPairOptions(addSecurityOptions(command, "bind")))
    .addOption(numberFlag("--heartbeat <MS>", "interval of heartbeats to a worker", BROKER.heartbeatInterval))
    .option("--titanic <DIR>", "keep durable requests in DIR (9/TSP; needs the package lmdb)")
    .addOption(
      numberFlag(
        "--titanic-attempts <N>",
        "failed attempts before a request becomes a dead letter",
        TITANIC.maxAttempts,
      ),
    )
    .action(runBroker);
}

async function runBroker(given: Given<BrokerSettings>): Promise<void> {
  const settings = checkSettings<BrokerSettings>(given, "--bind EP");
  const log = new Log("majordomo broker");
  const { heartbeat } = settings;
  const security = await securityOptions(settings, settings);
  if (settings.titanic === undefined && settings.titanicAttempts !== undefined)
    throw new UsageError("--titanic-attempts needs --titanic DIR");
  const titanic =
    settings.titanic === undefined
      ? undefined
      : new TitanicPart(settings.titanic, settings.titanicAttempts, clientOf(security, settings), log);
  const pair = await Pair.from(settings, security, log);
  await serve({
    settings,
    log,
    pair,
    create: () =>
      new MajordomoBroker({
        socketOptions: security,
        ...defined({ heartbeatInterval: heartbeat, gate: pair?.gate }),
      }),
    report: (broker) => report(broker, log),
    sources: (broker) => ({ broker, ...titanic?.sources }),
    async open(broker, stop) {
      for (const endpoint of settings.bind) {
        await asUsage(() => broker.bind(endpoint));
        log.info(`listening at ${broker.lastEndpoint ?? endpoint}`);
      }
      const endpoint = broker.lastEndpoint as string;
      if (pair === undefined) titanic?.open(endpoint);
      else titanic?.follow(pair.star, endpoint, stop.request);
    },
    async close(broker, linger) {
      await titanic?.end(linger);
      await broker.close({ linger });
      if (titanic?.failure !== undefined) throw titanic.failure;
    },
  });
}

function report(broker: MajordomoBroker, log: Log): void {
  broker.events
    .on("worker:joined", (e) => log.info(`worker ${e.worker} offers ${e.service} (MDP ${e.dialect})`))
    .on("worker:left", (e) => log.info(`worker ${e.worker} leaves ${e.service}: ${e.reason}`))
    .on("request:failed", (e) => log.debug(`a request for ${e.service} failed: ${e.reason}`))
    .on("peer:invalid", (e) => log.warnOnce(`a peer violated the protocol: ${e.reason}`));
}

/** `--titanic DIR`, while the broker serves. */
class TitanicPart {
  readonly #directory: string;
  readonly #maxAttempts: number | undefined;
  readonly #security: SecurityOptions;
  readonly #log: Log;
  #store: LmdbStore | undefined;
  #titanic: Titanic | undefined;
  #turn: Promise<void> = Promise.resolve();
  #ended = false;
  /** Why opening failed after a change of the pair's state. */
  failure: unknown;

  constructor(directory: string, maxAttempts: number | undefined, security: SecurityOptions, log: Log) {
    loadOptional("lmdb", "--titanic");
    this.#directory = directory;
    this.#maxAttempts = maxAttempts;
    this.#security = security;
    this.#log = log;
  }

  open(endpoint: string): void {
    const log = this.#log;
    try {
      this.#store = LmdbStore.open(this.#directory);
      this.#titanic = new Titanic(endpoint, this.#store, {
        socketOptions: this.#security,
        ...defined({ maxAttempts: this.#maxAttempts }),
      });
    } catch (error) {
      throw new Failure(`--titanic ${this.#directory}: ${describeDeep(error)}`);
    }
    const titanic = this.#titanic;
    titanic.events
      .on("request:retried", (e) =>
        log.debug(`retrying request ${e.uuid} for ${e.service}: ${describe(e.error)}`),
      )
      .on("request:dead", (e) =>
        log.warn(
          `request ${e.uuid} for ${e.service} failed ${e.attempts} times and is a dead letter now: ${e.reason}`,
        ),
      )
      .on("record:damaged", (e) => log.warnOnce(`record ${e.uuid} is damaged: ${e.reason}`))
      .on("store:failed", (e) => log.warnOnce(`the store in ${this.#directory}: ${describe(e.error)}`));
    log.info(`keeping requests in ${this.#directory}: ${titanic.stats().store.pending} pending`);
  }

  get sources(): MetricsSourcesByName {
    return defined({ titanic: this.#titanic });
  }

  /** On a passive broker its client would count as a vote. */
  follow(star: BinaryStar, endpoint: string, onFailure: () => void): void {
    star.events.on("state:changed", ({ state }) => {
      this.#turn = this.#turn
        .then(() => {
          if (!this.#ended) return state === "active" ? this.open(endpoint) : this.#close(0);
          return undefined;
        })
        .catch((error: unknown) => {
          this.failure ??= error;
          onFailure();
        });
    });
  }

  /** Before the broker closes. */
  async end(linger: number): Promise<void> {
    this.#ended = true;
    await this.#turn;
    await this.#close(linger);
  }

  async #close(linger: number): Promise<void> {
    await this.#titanic?.close({ linger });
    this.#titanic = undefined;
    await this.#store?.close();
  }
}
