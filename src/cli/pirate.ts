/** shoal pirate queue, worker, call: reliable request-reply with the Pirates. */
import { type Command, Option } from "commander";
import type { Dialect } from "../patterns/kit/worker-protocol.js";
import { PirateClient } from "../patterns/pirate/client.js";
import { PirateQueue } from "../patterns/pirate/queue.js";
import { PirateWorker } from "../patterns/pirate/worker.js";
import { addCommand } from "./command.js";
import { serve } from "./drain.js";
import { asUsage, describe, Failure, UsageError } from "./failure.js";
import { formatFor } from "./format.js";
import { Input } from "./input.js";
import { addOperationOptions, type OperationSettings, openLog, operate } from "./operation.js";
import { checkSettings, collect, type Given, type Settings } from "./options.js";
import { Output } from "./output.js";
import { addPairOptions, Pair, type PairSettings } from "./pair.js";
import { type SecurityOptions, securityOptions } from "./security.js";
import { type AnswerSettings, addAnswerOptions, answerer, logFor, wholeNumber } from "./service.js";
import { Stop } from "./signals.js";

interface Shared {
  readonly plain?: string;
  readonly curveServerKey?: string;
  readonly curveCertificate?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
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

interface WorkerSettings extends Timed, AnswerSettings {
  readonly connect?: readonly string[];
  readonly concurrency?: number;
}

interface CallSettings extends Shared {
  readonly connect?: readonly string[];
  readonly timeout?: number;
  readonly retries?: number;
}

export function addPirateCommands(program: Command): void {
  const pirate = addCommand(program, {
    name: "pirate",
    summary: "reliable request-reply: a queue, its workers, its clients",
    description: "Reliable request-reply as the Guide's Simple and Paranoid Pirates have it (6/PPP).",
    examples: [
      "shoal pirate queue --frontend tcp://127.0.0.1:5555 --backend tcp://127.0.0.1:5556",
      "shoal pirate worker --connect tcp://127.0.0.1:5556 --echo",
      "shoal pirate call hello --connect tcp://127.0.0.1:5555",
    ],
  });
  const queues = addTimed(
    addCommand(pirate, {
      name: "queue",
      summary: "pass requests to the least recently used worker",
      description:
        "Takes requests at the frontend and gives each to the worker at the backend that has been free the longest. " +
        "Serves workers with and without heartbeats, unless --simple or --paranoid names one kind.",
      examples: ["shoal pirate queue --frontend tcp://127.0.0.1:5555 --backend tcp://127.0.0.1:5556"],
    })
      .addOption(endpoints("--frontend <EP>", "listen for clients (repeatable)"))
      .addOption(endpoints("--backend <EP>", "listen for workers (repeatable)")),
  );
  addOperationOptions(addPairOptions(queues)).action((settings: QueueSettings) => queue(settings));
  const workers = addTimed(
    addCommand(pirate, {
      name: "worker",
      summary: "answer a queue's requests, with a program for each",
      description:
        "Answers requests with themselves, or with what a program makes of them: it gets the body on standard " +
        "input, and its standard output is the reply. An exit status other than 0 is an error reply.",
      examples: [
        "shoal pirate worker --connect tcp://127.0.0.1:5556 --echo",
        "shoal pirate worker --connect tcp://127.0.0.1:5556 --exec 'tr a-z A-Z' --concurrency 4",
      ],
    })
      .addOption(endpoints("--connect <EP>", "a queue's backend (repeatable)"))
      .option("--concurrency <N>", "requests handled at once (default 1)", wholeNumber(1)),
  );
  addAnswerOptions(workers).action((settings: WorkerSettings) => work(settings));
  addShared(
    addCommand(pirate, {
      name: "call",
      summary: "send a request, print its reply",
      description:
        "Sends BODY, each a frame, or without it each line of standard input, and prints each reply. Tries again, at " +
        "the next endpoint if there are several, when none comes in time.",
      examples: [
        "shoal pirate call hello --connect tcp://127.0.0.1:5555",
        "shoal pirate call --connect tcp://127.0.0.1:5555 --timeout 500 --retries 5 < questions.txt",
      ],
    })
      .argument("[body...]", "the request's frames")
      .addOption(endpoints("--connect <EP>", "a server, or a queue's frontend (repeatable)"))
      .option("--timeout <MS>", "longest wait of one attempt (default 2500)", wholeNumber(1))
      .option("--retries <N>", "further attempts after the first (default 2)", wholeNumber(0)),
  ).action((body: string[], settings: CallSettings) => call(body, settings));
}

function endpoints(flags: string, what: string): Option {
  return new Option(flags, what).argParser(collect);
}

function addShared(command: Command): Command {
  return command
    .option("--json", 'JSON: messages as {"frames":["text",{"base64":"…"}]}, events as objects')
    .option("--plain <USER:PASSWORD>", "PLAIN security; the queue is the server")
    .option("--curve-server-key <KEY>", "CURVE security, as a client of this public key (Z85)")
    .option("--curve-certificate <FILE>", "CURVE keys, the secret file; without a server key: the server")
    .option("-q, --quiet", "only errors on standard error")
    .option("-v, --verbose", "workers and requests that come and go on standard error");
}

function addTimed(command: Command): Command {
  return addShared(command)
    .option(
      "--heartbeat <MS>",
      "between two heartbeats, the same on both sides (default 1000)",
      wholeNumber(1),
    )
    .option("--simple", "without heartbeats: the Simple Pirate")
    .option("--paranoid", "with heartbeats: the Paranoid Pirate (6/PPP)");
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

/** What the socket commands' own settings would be. */
function shared(given: Shared, ends: Pick<Given, "bind" | "connect">): Settings {
  const { plain, curveServerKey, curveCertificate } = given;
  const chosen = { plain, curveServerKey, curveCertificate };
  const named = Object.fromEntries(Object.entries(chosen).filter(([, value]) => value !== undefined));
  return checkSettings({ ...ends, ...named });
}

async function security(given: Shared, ends: Pick<Given, "bind" | "connect">): Promise<SecurityOptions> {
  return securityOptions(shared(given, ends));
}

function required(ends: readonly string[] | undefined, option: string): readonly string[] {
  if (ends === undefined || ends.length === 0) throw new UsageError(`expected ${option} EP`);
  return ends;
}

async function queue(settings: QueueSettings): Promise<void> {
  await openLog(settings);
  const frontends = required(settings.frontend, "--frontend");
  const backends = required(settings.backend, "--backend");
  const ends = { bind: [...frontends, ...backends] };
  const socketOptions = await security(settings, ends);
  const log = logFor("pirate queue", settings);
  const pair = await Pair.from(settings, socketOptions, shared(settings, ends).plain, log);
  const broker = await asUsage(
    () =>
      new PirateQueue({
        ...timesOf(settings),
        ...dialectOf(settings),
        socketOptions,
        ...(pair === undefined ? {} : { gate: pair.gate }),
      }),
  );
  broker.events
    .on("worker:joined", ({ worker, dialect }) =>
      log.detail(`worker ${worker.toString("hex")} (${dialect}) is ready`),
    )
    .on("worker:left", ({ worker, reason }) =>
      log.detail(`worker ${worker.toString("hex")} is lost: ${reason}`),
    )
    .on("request:dropped", ({ reason }) => log.detail(`a request was dropped: ${reason}`))
    .on("message:invalid", ({ from, reason }) =>
      log.warnOnce(`a ${from} sent an invalid message: ${reason}`),
    );
  let closing: Promise<void> | undefined;
  const close = async (linger: number): Promise<void> => {
    pair?.drain();
    await broker.close({ linger });
    await pair?.close();
  };
  const service = {
    close: ({ linger }: { readonly linger: number }): Promise<void> => {
      closing ??= close(linger);
      return closing;
    },
  };
  const stop = new Stop().listen();
  const sources = () => [{ name: "queue", kind: "pirate" as const, stats: () => broker.stats() }];
  await operate({ settings, log, stop, sources }, (ready) =>
    serve(service, stop, async () => {
      for (const endpoint of frontends)
        log.info(`listening at ${await asUsage(() => broker.bindFrontend(endpoint))} for clients`);
      for (const endpoint of backends)
        log.info(`listening at ${await asUsage(() => broker.bindBackend(endpoint))} for workers`);
      await pair?.start(log);
      ready();
    }),
  );
  if (settings.json === true) process.stdout.write(`${JSON.stringify(broker.stats())}\n`);
}

async function work(settings: WorkerSettings): Promise<void> {
  const connect = required(settings.connect, "--connect");
  const { concurrency = 1 } = settings;
  const answer = answerer(settings);
  const socketOptions = await security(settings, { connect });
  const log = logFor("pirate worker", settings);
  const worker = await asUsage(
    () =>
      new PirateWorker(connect, async (body, context) => answer(body, context), {
        concurrency,
        ...timesOf(settings),
        ...dialectOf(settings),
        socketOptions,
      }),
  );
  worker.events
    .on("ready", () => log.detail("READY was sent"))
    .on("queue:silent", ({ delay }) =>
      log.warn(`the queue is silent: connecting anew in ${Math.round(delay)} ms`),
    )
    .on("handler:failed", ({ error }) => log.warn(`a request failed: ${describe(error)}`));
  await serve(worker, new Stop().listen(), () => undefined);
}

async function call(body: readonly string[], settings: CallSettings): Promise<void> {
  const connect = required(settings.connect, "--connect");
  const socketOptions = await security(settings, { connect });
  const { timeout, retries } = settings;
  const stop = new Stop().listen();
  const format = formatFor({ json: settings.json });
  const output = new Output(format, stop.forced, stop.request);
  const log = logFor("pirate call", settings);
  const limits = {
    ...(timeout === undefined ? {} : { timeout }),
    ...(retries === undefined ? {} : { retries }),
  };
  const client = await asUsage(() => new PirateClient(connect, { ...limits, socketOptions }));
  client.events.on("retry", ({ endpoint, attempt, reason }) =>
    log.detail(`no reply from ${endpoint} at attempt ${attempt}: ${reason}`),
  );
  try {
    const ask = async (frames: (Buffer | string)[]): Promise<void> => {
      try {
        await output.print([await client.request(frames, { signal: stop.requested })]);
      } catch (error) {
        throw stop.requested.aborted
          ? new Failure("stopped before the reply came")
          : new Failure(describe(error));
      }
    };
    if (body.length > 0) await ask([...body]);
    else {
      const input = new Input(format, settings.json === true, stop.requested);
      for await (const frames of input.messages()) await ask(frames);
    }
    await output.flush();
    if (output.failure !== undefined) throw output.failure;
  } finally {
    await client.close();
    stop.dispose();
  }
}
