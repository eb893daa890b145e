/**
 * `shoal majordomo broker`: alone or as one of a pair, with durable requests or without.
 *
 *   alone    bound ──> Titanic open ──────────────────────────> signal: Titanic, then the broker, drain
 *   a pair   bound ──> states told ──> serves: Titanic open
 *                                       stands by: Titanic closed
 */
import { type Command, Option } from "commander";
import { MajordomoBroker } from "../patterns/majordomo/index.js";
import { addSocketCommand } from "./command.js";
import { type Service, serve } from "./drain.js";
import { asUsage, UsageError } from "./failure.js";
import type { Log } from "./log.js";
import { addOperationOptions, type OperationSettings, openLog, operate } from "./operation.js";
import type { Given, Settings } from "./options.js";
import { addPairOptions, clientOf, Pair, type PairSettings } from "./pair.js";
import { securityOptions } from "./security.js";
import { describeOption, hideOptions, logFor, ONE_RUN, settingsFor, wholeNumber } from "./service.js";
import { Stop } from "./signals.js";
import { TitanicPart } from "./titanic.js";

interface BrokerSettings extends Settings, PairSettings, OperationSettings {
  readonly heartbeat?: number;
  readonly queueTimeout?: number;
  readonly titanic?: string;
  readonly titanicAttempts?: number;
  readonly titanicTimeout?: number;
  readonly titanicDamaged?: "refuse" | "set-aside";
}

export function addBrokerCommand(majordomo: Command): void {
  const command = addSocketCommand<BrokerSettings>(
    majordomo,
    {
      name: "broker",
      summary: "pass requests to workers",
      description:
        "Binds, and passes requests to the workers that connect. Reports workers on standard error. With --titanic, " +
        "requests that a client asks it to keep outlive every process.",
      examples: [
        "shoal majordomo broker --bind tcp://127.0.0.1:5555",
        "shoal majordomo broker --bind tcp://127.0.0.1:5555 --titanic requests",
        'shoal majordomo broker --bind "tcp://*:5555" --binary-star primary --peer tcp://backup.example:5556',
      ],
    },
    runBroker,
  )
    .option("--heartbeat <MS>", "between two heartbeats to a worker (default 2500)", wholeNumber(1))
    .option("--queue-timeout <MS>", "longest wait of a request for a worker (default 30000)", wholeNumber(1))
    .option("--titanic <DIR>", "keep requests in DIR that are to outlive this process (9/TSP)")
    .option(
      "--titanic-attempts <N>",
      "failed attempts until a request is a dead letter (default 10)",
      wholeNumber(1),
    )
    .option(
      "--titanic-timeout <MS>",
      "longest time of one attempt of a request (default 30000)",
      wholeNumber(1),
    )
    .addOption(
      new Option(
        "--titanic-damaged <WHAT>",
        "what to do when the file in DIR is damaged (default refuse)",
      ).choices(["refuse", "set-aside"]),
    );
  describeOption(command, "json", "the accounts as an object on standard output at the end");
  hideOptions(command, ["connect", ...ONE_RUN]);
  addOperationOptions(addPairOptions(command));
}

async function runBroker(given: Given<BrokerSettings>): Promise<void> {
  const settings = settingsFor(given, "bind", ONE_RUN);
  await openLog(settings);
  const log = logFor("majordomo broker", settings);
  const { queueTimeout, heartbeat, plain } = settings;
  const security = await securityOptions(settings);
  const ofTitanic = ["titanicAttempts", "titanicTimeout", "titanicDamaged"] as const;
  if (settings.titanic === undefined && ofTitanic.some((name) => settings[name] !== undefined))
    throw new UsageError("--titanic-… needs --titanic DIR");
  const titanic =
    settings.titanic === undefined
      ? undefined
      : new TitanicPart(settings.titanic, settings, clientOf(security, plain), log);
  const pair = await Pair.from(settings, security, plain, log);
  const broker = new MajordomoBroker({
    socketOptions: security,
    ...(queueTimeout === undefined ? {} : { queueTimeout }),
    ...(heartbeat === undefined ? {} : { heartbeatInterval: heartbeat }),
    ...(pair === undefined ? {} : { gate: pair.gate }),
  });
  report(broker, log);
  const stop = new Stop().listen();
  const parts = new BrokerParts(broker, titanic, pair, () => stop.request());
  const sources = () => [{ name: "broker", kind: "majordomo" as const, stats: () => broker.stats() }];
  await operate({ settings, log, stop, sources }, (ready) =>
    serve(parts, stop, async () => {
      for (const endpoint of settings.bind) {
        await asUsage(() => broker.bind(endpoint));
        log.info(`listening at ${broker.lastEndpoint ?? endpoint}`);
      }
      if (pair === undefined) titanic?.open(broker.lastEndpoint as string);
      else await pair.start(log);
      ready();
    }),
  );
  if (settings.json === true) process.stdout.write(`${JSON.stringify(broker.stats())}\n`);
}

function report(broker: MajordomoBroker, log: Log): void {
  broker.events
    .on("worker:joined", (e) => log.info(`worker ${e.worker} offers ${e.service} (MDP ${e.dialect})`))
    .on("worker:left", (e) => log.info(`worker ${e.worker} leaves ${e.service}: ${e.reason}`))
    .on("request:failed", (e) => log.detail(`a request for ${e.service} failed: ${e.reason}`))
    .on("peer:invalid", (e) => log.warnOnce(`a peer broke the protocol: ${e.reason}`));
}

/** What has to be opened and closed in order. */
class BrokerParts implements Service {
  readonly #broker: MajordomoBroker;
  readonly #titanic: TitanicPart | undefined;
  readonly #pair: Pair | undefined;
  readonly #onFailure: () => void;
  /** Titanic opens and closes one after the other, however quickly the pair changes its mind. */
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
    // Its own client would vote at a broker that stands by, and its folder may be the peer's, too.
    pair.star.events
      .on("active", () => this.#next(() => titanic.open(broker.lastEndpoint as string)))
      .on("passive", () => this.#next(() => titanic.close(0)))
      .on("waiting", () => this.#next(() => titanic.close(0)))
      .on("fatal", () => this.#next(() => titanic.close(0)));
  }

  close({ linger }: { readonly linger: number }): Promise<void> {
    this.#closing ??= this.#close(linger);
    return this.#closing;
  }

  async #close(linger: number): Promise<void> {
    this.#pair?.drain();
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
