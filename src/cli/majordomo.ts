/** shoal majordomo broker, worker, call: services behind a broker (7/MDP, 18/MDP). */
import type { Command } from "commander";
import { MajordomoClient, MajordomoWorker } from "../patterns/majordomo/index.js";
import { asUsage, describe } from "./failure.js";
import { Log } from "./log.js";
import { addBrokerCommand } from "./majordomo-broker.js";
import { addOperationOptions, type OperationSettings, operate } from "./operation.js";
import {
  addCommand,
  addGroup,
  addSocketOptions,
  defined,
  type Given,
  hideOptions,
  ONE_RUN,
  type Settings,
  settingsFor,
  wholeNumber,
} from "./options.js";
import { securityOptions } from "./security.js";
import { type AnswerSettings, addAnswerOptions, answerer, callFailure, runCalls } from "./service.js";
import { Stop } from "./stop.js";

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
      "requests queued here while others are handled (default 0; with a concurrency of 16 or more, the larger of that and 100)",
      wholeNumber(0),
    )
    .option("--heartbeat <MS>", "interval of heartbeats to a broker (default 2500)", wholeNumber(1))
    .action((service: string, given: Given<WorkerSettings>) => runWorker(service, given));
  hideOptions(addOperationOptions(worker), ["bind", "json", ...ONE_RUN]);
  addSocketOptions(
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
}

async function runWorker(service: string, given: Given<WorkerSettings>): Promise<void> {
  const settings = settingsFor(given, "connect", [...ONE_RUN, "json"]);
  const { concurrency = 1, prefetch, heartbeat } = settings;
  const answer = answerer(settings, { SHOAL_SERVICE: service });
  const log = new Log("majordomo worker");
  const socketOptions = await securityOptions(settings, settings);
  const worker = await asUsage(
    () =>
      new MajordomoWorker(settings.connect, service, answer, {
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
}

async function call(service: string, body: readonly string[], given: Given<CallSettings>): Promise<void> {
  const settings = settingsFor(given, "connect");
  const { timeout = TIMEOUT, heartbeat } = settings;
  const log = new Log("majordomo call");
  const socketOptions = await securityOptions(settings, settings);
  await runCalls({
    body,
    settings,
    pipeline: PIPELINE,
    open() {
      const client = new MajordomoClient(settings.connect, {
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
  });
}
