/** shoal pirate queue, worker, call: reliable request-reply with the Pirates. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { exec } from "../patterns/common/exec.js";
import { PirateClient } from "../patterns/pirate/client.js";
import type { Dialect } from "../patterns/pirate/protocol.js";
import { PirateQueue } from "../patterns/pirate/queue.js";
import { PirateWorker } from "../patterns/pirate/worker.js";
import { addCommand } from "./command.js";
import { asUsage, describe, Failure, UsageError } from "./failure.js";
import { formatFor } from "./format.js";
import { Input } from "./input.js";
import { Log } from "./log.js";
import { checkSettings, collect, type Given } from "./options.js";
import { Output } from "./output.js";
import { type SecurityOptions, securityOptions } from "./security.js";
import { GRACE, Stop } from "./signals.js";

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

interface QueueSettings extends Timed {
  readonly frontend?: readonly string[];
  readonly backend?: readonly string[];
}

interface WorkerSettings extends Timed {
  readonly connect?: readonly string[];
  readonly echo?: boolean;
  readonly exec?: string;
  readonly concurrency?: number;
}

interface CallSettings extends Shared {
  readonly connect?: readonly string[];
  readonly timeout?: number;
  readonly retries?: number;
}

const MAX = 2_147_483_647;

export function addPirateCommands(program: Command): void {
  const pirate = program
    .command("pirate")
    .summary("reliable request-reply: a queue, its workers, its clients")
    .description("Reliable request-reply as the Guide's Simple and Paranoid Pirates have it (6/PPP).");
  addTimed(
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
  ).action((settings: QueueSettings) => queue(settings));
  addTimed(
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
      .option("--echo", "reply with the request itself")
      .option("--exec <CMD>", "run CMD for each request")
      .option("--concurrency <N>", "requests handled at once (default 1)", wholeNumber(1)),
  ).action((settings: WorkerSettings) => work(settings));
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

function wholeNumber(min: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= MAX) return value;
    throw new InvalidArgumentError(`Expected a whole number from ${min} to ${MAX}.`);
  };
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

function security(given: Shared, ends: Pick<Given, "bind" | "connect">): Promise<SecurityOptions> {
  const { plain, curveServerKey, curveCertificate } = given;
  const chosen = { plain, curveServerKey, curveCertificate };
  const named = Object.fromEntries(Object.entries(chosen).filter(([, value]) => value !== undefined));
  return securityOptions(checkSettings({ ...ends, ...named }));
}

function logOf(name: string, { quiet, verbose }: Shared): Log {
  return new Log(name, quiet === true ? "quiet" : verbose === true ? "verbose" : "normal");
}

function required(ends: readonly string[] | undefined, option: string): readonly string[] {
  if (ends === undefined || ends.length === 0) throw new UsageError(`expected ${option} EP`);
  return ends;
}

/** Settles when the command is told to stop. */
function stopRequested(stop: Stop): Promise<void> {
  return new Promise((resolve) => {
    stop.requested.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** Ends in good order, or at once when a second signal insists. */
async function endWith(
  stop: Stop,
  thing: { close(options: { linger: number }): Promise<void> },
): Promise<void> {
  const forced = new Promise<void>((resolve) => {
    stop.forced.addEventListener("abort", () => resolve(), { once: true });
  });
  await Promise.race([thing.close({ linger: GRACE }), forced]);
}

async function queue(settings: QueueSettings): Promise<void> {
  const frontends = required(settings.frontend, "--frontend");
  const backends = required(settings.backend, "--backend");
  const socketOptions = await security(settings, { bind: [...frontends, ...backends] });
  const log = logOf("pirate queue", settings);
  const stop = new Stop().listen();
  const broker = await asUsage(
    () => new PirateQueue({ ...timesOf(settings), ...dialectOf(settings), socketOptions }),
  );
  try {
    broker.events
      .on("worker:ready", ({ worker, dialect }) =>
        log.detail(`worker ${worker.toString("hex")} (${dialect}) is ready`),
      )
      .on("worker:lost", ({ worker, reason }) =>
        log.detail(`worker ${worker.toString("hex")} is lost: ${reason}`),
      )
      .on("request:dropped", ({ reason }) => log.detail(`a request was dropped: ${reason}`))
      .on("invalid", ({ from, reason }) => log.warnOnce(`a ${from} sent a message that is none: ${reason}`));
    for (const endpoint of frontends)
      log.info(`listening at ${await asUsage(() => broker.bindFrontend(endpoint))} for clients`);
    for (const endpoint of backends)
      log.info(`listening at ${await asUsage(() => broker.bindBackend(endpoint))} for workers`);
    await stopRequested(stop);
  } finally {
    await endWith(stop, broker);
    stop.dispose();
  }
  if (settings.json === true) process.stdout.write(`${JSON.stringify(broker.stats())}\n`);
}

async function work(settings: WorkerSettings): Promise<void> {
  const connect = required(settings.connect, "--connect");
  const { exec: command, echo, concurrency = 1 } = settings;
  if ((echo === true) === (command !== undefined)) throw new UsageError("expected --echo or --exec CMD");
  const socketOptions = await security(settings, { connect });
  const log = logOf("pirate worker", settings);
  const stop = new Stop().listen();
  const worker = await asUsage(
    () =>
      new PirateWorker(
        connect,
        async (body, { signal }) => (command === undefined ? body : await exec(command, body, { signal })),
        { concurrency, ...timesOf(settings), ...dialectOf(settings), socketOptions },
      ),
  );
  try {
    worker.events
      .on("ready", () => log.detail("READY was sent"))
      .on("queue:silent", ({ delay }) =>
        log.warn(`the queue is silent: connecting anew in ${Math.round(delay)} ms`),
      )
      .on("handler:failed", ({ error }) => log.warn(`a request failed: ${describe(error)}`));
    await stopRequested(stop);
  } finally {
    await endWith(stop, worker);
    stop.dispose();
  }
}

async function call(body: readonly string[], settings: CallSettings): Promise<void> {
  const connect = required(settings.connect, "--connect");
  const socketOptions = await security(settings, { connect });
  const { timeout, retries } = settings;
  const stop = new Stop().listen();
  const format = formatFor({ json: settings.json });
  const output = new Output(format, stop.forced, stop.request);
  const log = logOf("pirate call", settings);
  const limits = {
    ...(timeout === undefined ? {} : { timeout }),
    ...(retries === undefined ? {} : { retries }),
  };
  const client = await asUsage(() => new PirateClient(connect, { ...limits, socketOptions }));
  client.events.on("retry", ({ endpoint, attempt }) =>
    log.detail(`no reply from ${endpoint} at attempt ${attempt}`),
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
