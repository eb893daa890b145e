/** shoal pirate queue, worker, call: reliable request-reply as the Guide's Pirates do it (6/PPP). */
import { type Command, Option } from "commander";
import type { Dialect } from "../patterns/kit/worker-protocol.js";
import { PirateClient } from "../patterns/pirate/client.js";
import { PirateQueue } from "../patterns/pirate/queue.js";
import { PirateWorker } from "../patterns/pirate/worker.js";
import { addClusterOptions } from "./cluster-options.js";
import { withEndpoints } from "./endpoints.js";
import { asUsage, describe, Failure, hasCode } from "./failure.js";
import { Log } from "./log.js";
import { addOperationOptions, type OperationSettings, serve } from "./operation.js";
import {
  addCommand,
  addGroup,
  addSharedOptions,
  checkEndpoints,
  checkSettings,
  type Given,
  type Settings,
} from "./options.js";
import { addPairOptions, Pair, type PairSettings } from "./pair.js";
import { addSecurityOptions, securityOptions } from "./security.js";
import { type AnswerSettings, addAnswerOptions, addCallOptions, answerer, runCalls } from "./service.js";
import { defined, repeatable, wholeNumber } from "./values.js";

interface Timed {
  readonly heartbeat?: number;
  readonly simple?: boolean;
  readonly paranoid?: boolean;
}

interface QueueSettings extends Timed, PairSettings, OperationSettings {
  readonly frontend?: readonly string[];
  readonly backend?: readonly string[];
  readonly json?: boolean;
}

interface WorkerSettings extends Timed, Settings, AnswerSettings, OperationSettings {
  readonly concurrency?: number;
}

interface CallSettings extends Settings {
  readonly retries?: number;
}

export function addPirateCommands(program: Command): void {
  const pirate = addGroup(program, {
    name: "pirate",
    summary: "reliable request-reply: a queue, its workers, its clients",
    description:
      "Reliable request-reply: the Simple and the Paranoid Pirate pattern of the ZeroMQ Guide (6/PPP).",
    examples: [
      "shoal pirate queue --frontend tcp://127.0.0.1:5555 --backend tcp://127.0.0.1:5556",
      "shoal pirate worker --connect tcp://127.0.0.1:5556 --echo",
      "shoal pirate call hello --connect tcp://127.0.0.1:5555",
    ],
  });
  const queues = addCommand(pirate, {
    name: "queue",
    summary: "distribute requests to the least recently used worker",
    description:
      "Receives requests at the frontend and sends each to the worker at the backend that has been idle the longest. " +
      "Accepts workers with and without heartbeats, unless --simple or --paranoid limits it to one kind.",
    examples: ["shoal pirate queue --frontend tcp://127.0.0.1:5555 --backend tcp://127.0.0.1:5556"],
  })
    .addOption(repeatable("--frontend <EP>", "listen for clients (repeatable)"))
    .addOption(repeatable("--backend <EP>", "listen for workers (repeatable)"));
  addSecurityOptions(addSharedOptions(queues, ["json"], { json: COUNTERS }), "bind");
  addOperationOptions(addPairOptions(addTimed(queues))).action(queue);
  const workers = addCommand(pirate, {
    name: "worker",
    summary: "answer requests of a queue",
    description:
      "Answers each request with an echo, or with the output of a program that gets the body on standard input. An exit " +
      "status other than 0 is an error reply.",
    examples: [
      "shoal pirate worker --connect tcp://127.0.0.1:5556 --echo",
      "shoal pirate worker --connect tcp://127.0.0.1:5556 --exec 'tr a-z A-Z' --concurrency 4",
    ],
  }).option("--concurrency <N>", "requests handled at once (default 1)", wholeNumber(1));
  addClusterOptions(
    addSecurityOptions(addSharedOptions(workers, ["connect", "json"], { json: COUNTERS }), "connect"),
  );
  addOperationOptions(addAnswerOptions(addTimed(workers))).action(work);
  const calls = addCommand(pirate, {
    name: "call",
    summary: "send requests, and print the replies",
    description:
      "Sends one request with a frame per BODY, or a request per message of standard input, and prints the replies. Retries " +
      "at the next endpoint when no reply comes in time (--timeout of one attempt, default 2500).",
    examples: [
      "shoal pirate call hello --connect tcp://127.0.0.1:5555",
      "shoal pirate call --connect tcp://127.0.0.1:5555 --timeout 500 --retries 5 < questions.txt",
    ],
  });
  addCallOptions(calls)
    .option("--retries <N>", "further attempts after the first (default 2)", wholeNumber(0))
    .action(call);
}

const COUNTERS = "print the counters as JSON at the end";

function addTimed(command: Command): Command {
  return command
    .option(
      "--heartbeat <MS>",
      "interval of heartbeats, the same on both sides (default 1000)",
      wholeNumber(1),
    )
    .addOption(new Option("--simple", "Simple Pirate: without heartbeats").conflicts("paranoid"))
    .option("--paranoid", "Paranoid Pirate: with heartbeats (6/PPP)");
}

function optionsOf({ heartbeat, simple, paranoid }: Timed): {
  readonly heartbeatInterval?: number;
  readonly dialect?: Dialect;
} {
  const dialect = simple === true ? "simple" : paranoid === true ? "paranoid" : undefined;
  return defined({ heartbeatInterval: heartbeat, dialect });
}

async function queue(settings: QueueSettings): Promise<void> {
  const frontends = checkEndpoints(settings.frontend, "--frontend EP");
  const backends = checkEndpoints(settings.backend, "--backend EP");
  const socketOptions = await securityOptions(settings, { bind: [...frontends, ...backends] });
  const log = new Log("pirate queue");
  const pair = await Pair.from(settings, socketOptions, log);
  await serve({
    settings,
    log,
    pair,
    create: () =>
      new PirateQueue({
        ...optionsOf(settings),
        socketOptions,
        ...defined({ gate: pair?.gate }),
      }),
    report: (broker) =>
      broker.events
        .on("worker:joined", ({ worker, dialect }) =>
          log.debug(`worker ${worker.toString("hex")} (${dialect}) is ready`),
        )
        .on("worker:left", ({ worker, reason }) =>
          log.debug(`worker ${worker.toString("hex")} is lost: ${reason}`),
        )
        .on("request:dropped", ({ reason }) => log.debug(`a request was dropped: ${reason}`))
        .on("message:invalid", ({ from, reason }) =>
          log.warnOnce(`a ${from} sent an invalid message: ${reason}`),
        ),
    sources: (broker) => ({ queue: broker }),
    async open(broker) {
      for (const endpoint of frontends)
        log.info(`listening at ${await asUsage(() => broker.bind("frontend", endpoint))} for clients`);
      for (const endpoint of backends)
        log.info(`listening at ${await asUsage(() => broker.bind("backend", endpoint))} for workers`);
    },
  });
}

async function work(given: Given<WorkerSettings>): Promise<void> {
  const settings = checkSettings<WorkerSettings>(given, "--connect EP");
  const { concurrency = 1 } = settings;
  const answer = answerer(settings);
  const socketOptions = await securityOptions(settings, settings);
  const log = new Log("pirate worker");
  await withEndpoints("pirate worker", settings.connect, settings, log, (connect) =>
    serve({
      settings,
      log,
      create: () =>
        new PirateWorker(connect, async (body, context) => answer(body, context), {
          concurrency,
          exposeErrors: true, // The program is the operator's own, as are its errors.
          ...optionsOf(settings),
          socketOptions,
        }),
      report: (worker) =>
        worker.events
          .on("ready:sent", () => log.debug("sent READY"))
          .on("queue:lost", ({ delay }) =>
            log.warn(`the queue is silent: reconnecting in ${Math.round(delay)} ms`),
          )
          .on("handler:failed", ({ error }) => log.warn(`a request failed: ${describe(error)}`)),
      sources: (worker) => ({ worker }),
    }),
  );
}

async function call(body: readonly string[], given: Given<CallSettings>): Promise<void> {
  const settings = checkSettings<CallSettings>(given, "--connect EP");
  const { timeout, retries } = settings;
  const socketOptions = await securityOptions(settings, settings);
  const log = new Log("pirate call");
  await withEndpoints("pirate call", settings.connect, settings, log, (connect) =>
    runCalls({
      body,
      settings,
      open() {
        const client = new PirateClient(connect, {
          ...defined({ attemptTimeout: timeout, retries }),
          socketOptions,
        });
        client.events.on("request:retried", ({ endpoint, attempt, reason }) =>
          log.debug(`no reply from ${endpoint} at attempt ${attempt}: ${reason}`),
        );
        return client;
      },
      explain: (error) =>
        hasCode(error, "ABORT_ERR") ? new Failure("stopped before every reply came") : error,
    }),
  );
}
