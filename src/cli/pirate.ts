/** shoal pirate queue, worker, call: reliable request-reply as the Guide's Pirates do it (6/PPP). */
import type { Command } from "commander";
import type { Dialect } from "../patterns/kit/worker-protocol.js";
import { PirateClient } from "../patterns/pirate/client.js";
import { PirateQueue } from "../patterns/pirate/queue.js";
import { PirateWorker } from "../patterns/pirate/worker.js";
import { addClusterOptions, type ClusterSettings } from "./cluster-options.js";
import { withEndpoints } from "./endpoints.js";
import { asUsage, describe, Failure, hasCode, UsageError } from "./failure.js";
import { Log } from "./log.js";
import { addOperationOptions, type OperationSettings, serve } from "./operation.js";
import { addCommand, addGroup, checkEndpoints } from "./options.js";
import { addPairOptions, Pair, type PairSettings } from "./pair.js";
import { addSecurityOptions, type SecuritySettings, securityOptions } from "./security.js";
import { type AnswerSettings, addAnswerOptions, answerer, runCalls } from "./service.js";
import { defined, repeatable, wholeNumber } from "./values.js";

interface Shared extends SecuritySettings {
  readonly json?: boolean;
}

interface Timed extends Shared {
  readonly heartbeat?: number;
  readonly simple?: boolean;
  readonly paranoid?: boolean;
}

interface QueueSettings extends Timed, PairSettings, OperationSettings {
  readonly frontend?: readonly string[];
  readonly backend?: readonly string[];
}

interface WorkerSettings extends Timed, AnswerSettings, OperationSettings, ClusterSettings {
  readonly connect?: readonly string[];
  readonly concurrency?: number;
}

interface CallSettings extends Shared, ClusterSettings {
  readonly connect?: readonly string[];
  readonly timeout?: number;
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
  const queues = addTimed(
    addCommand(pirate, {
      name: "queue",
      summary: "distribute requests to the least recently used worker",
      description:
        "Receives requests at the frontend and sends each to the worker at the backend that has been idle the longest. " +
        "Accepts workers with and without heartbeats, unless --simple or --paranoid limits it to one kind.",
      examples: ["shoal pirate queue --frontend tcp://127.0.0.1:5555 --backend tcp://127.0.0.1:5556"],
    })
      .addOption(repeatable("--frontend <EP>", "listen for clients (repeatable)"))
      .addOption(repeatable("--backend <EP>", "listen for workers (repeatable)")),
  );
  addOperationOptions(addPairOptions(queues)).action((settings: QueueSettings) => queue(settings));
  const workers = addTimed(
    addCommand(pirate, {
      name: "worker",
      summary: "answer requests of a queue",
      description:
        "Answers each request with an echo, or with the output of a program that gets the body on standard input. An exit " +
        "status other than 0 is an error reply.",
      examples: [
        "shoal pirate worker --connect tcp://127.0.0.1:5556 --echo",
        "shoal pirate worker --connect tcp://127.0.0.1:5556 --exec 'tr a-z A-Z' --concurrency 4",
      ],
    })
      .addOption(repeatable("--connect <EP>", "a queue's backend, or cluster:NAME (repeatable)"))
      .option("--concurrency <N>", "requests handled at once (default 1)", wholeNumber(1)),
  );
  addOperationOptions(addAnswerOptions(addClusterOptions(workers))).action((settings: WorkerSettings) =>
    work(settings),
  );
  const calls = addShared(
    addCommand(pirate, {
      name: "call",
      summary: "send requests, and print the replies",
      description:
        "Sends one request with a frame per BODY, or a request per line of standard input, and prints the replies. Retries " +
        "at the next endpoint when no reply comes in time.",
      examples: [
        "shoal pirate call hello --connect tcp://127.0.0.1:5555",
        "shoal pirate call --connect tcp://127.0.0.1:5555 --timeout 500 --retries 5 < questions.txt",
      ],
    })
      .argument("[body...]", "the frames of one request (default: standard input)")
      .addOption(repeatable("--connect <EP>", "a server, a queue's frontend, or cluster:NAME (repeatable)"))
      .option("--timeout <MS>", "timeout of one attempt (default 2500)", wholeNumber(1))
      .option("--retries <N>", "further attempts after the first (default 2)", wholeNumber(0)),
  );
  addClusterOptions(calls).action((body: string[], settings: CallSettings) => call(body, settings));
}

function addShared(command: Command): Command {
  return addSecurityOptions(
    command.option(
      "--json",
      'messages as JSON lines: {"frames":["text",{"base64":"…"}]}; counters as an object',
    ),
  );
}

function addTimed(command: Command): Command {
  return addShared(command)
    .option(
      "--heartbeat <MS>",
      "interval of heartbeats, the same on both sides (default 1000)",
      wholeNumber(1),
    )
    .option("--simple", "Simple Pirate: without heartbeats")
    .option("--paranoid", "Paranoid Pirate: with heartbeats (6/PPP)");
}

function dialectOf({ simple, paranoid }: Timed): { readonly dialect?: Dialect } {
  if (simple === true && paranoid === true)
    throw new UsageError("--simple and --paranoid exclude each other");
  if (simple === true) return { dialect: "simple" };
  return paranoid === true ? { dialect: "paranoid" } : {};
}

function timesOf({ heartbeat }: Timed): { readonly heartbeatInterval?: number } {
  return heartbeat === undefined ? {} : { heartbeatInterval: heartbeat };
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
        ...timesOf(settings),
        ...dialectOf(settings),
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

async function work(settings: WorkerSettings): Promise<void> {
  const connect = checkEndpoints(settings.connect, "--connect EP");
  const { concurrency = 1 } = settings;
  const answer = answerer(settings);
  const socketOptions = await securityOptions(settings, { connect });
  const log = new Log("pirate worker");
  await withEndpoints("pirate worker", connect, settings, log, (endpoints) =>
    serve({
      settings: defined({ metrics: settings.metrics }),
      log,
      create: () =>
        new PirateWorker(endpoints, async (body, context) => answer(body, context), {
          concurrency,
          exposeErrors: true, // The program is the operator's own, as are its errors.
          ...timesOf(settings),
          ...dialectOf(settings),
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

async function call(body: readonly string[], settings: CallSettings): Promise<void> {
  const connect = checkEndpoints(settings.connect, "--connect EP");
  const socketOptions = await securityOptions(settings, { connect });
  const { timeout, retries } = settings;
  const log = new Log("pirate call");
  await withEndpoints("pirate call", connect, settings, log, (endpoints) =>
    runCalls({
      body,
      settings,
      open() {
        const client = new PirateClient(endpoints, {
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
