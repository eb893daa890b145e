/**
 * `shoal majordomo`: a broker, a worker that echoes or runs a program for each
 * request, and calls.
 *
 *   running --signal--> draining: nothing new, what is in hand ends --> 0
 *                          |  a second signal: at once
 */
import { type Command, InvalidArgumentError, Option } from "commander";
import { exec } from "../patterns/common/exec.js";
import {
  MajordomoBroker,
  MajordomoClient,
  MajordomoWorker,
  type RequestContext,
  ServiceError,
} from "../patterns/index.js";
import { addCommand, type CommandFace } from "./command.js";
import { asUsage, Failure, hasCode, UsageError } from "./failure.js";
import { formatFor } from "./format.js";
import { Input } from "./input.js";
import { Log } from "./log.js";
import { addSocketOptions, checkSettings, type Given, type Settings } from "./options.js";
import { Output } from "./output.js";
import { securityOptions } from "./security.js";
import { Stop, unlessAborted } from "./signals.js";

/** ms that what is in hand has to end after the first signal. */
const DRAIN = 10_000;

/** Requests of one input that are under way at once. */
const PIPELINE = 100;

interface BrokerSettings extends Settings {
  readonly queueTimeout?: number;
}

interface WorkerSettings extends Settings {
  readonly echo?: boolean;
  readonly exec?: string;
  readonly concurrency?: number;
}

/** Options that have no meaning for a command that runs until it is stopped. */
const ONE_RUN = ["count", "timeout", "multipart", "raw"] as const;

export function addMajordomoCommand(program: Command): void {
  const majordomo = addCommand(program, {
    name: "majordomo",
    summary: "services behind a broker: broker, worker, call (MDP 0.1 and 0.2)",
    description: "A broker that passes requests to the workers of a service, its workers, and calls to them.",
    examples: [
      "shoal majordomo broker --bind tcp://127.0.0.1:5555",
      'shoal majordomo worker upper --connect tcp://127.0.0.1:5555 --exec "tr a-z A-Z"',
      "shoal majordomo call upper hello --connect tcp://127.0.0.1:5555",
    ],
  });
  part(majordomo, {
    name: "broker",
    summary: "pass requests to workers",
    description: "Binds, and passes requests to the workers that connect. Reports workers on standard error.",
    examples: ["shoal majordomo broker --bind tcp://127.0.0.1:5555"],
  })
    .option("--queue-timeout <MS>", "longest wait of a request for a worker", whole)
    .action((given: Given<BrokerSettings>) => runBroker(given));
  part(majordomo, {
    name: "worker",
    summary: "offer a service",
    description:
      "Offers a service at each broker it connects to: an echo, or a program that is run for each request.",
    examples: ['shoal majordomo worker upper --connect tcp://127.0.0.1:5555 --exec "tr a-z A-Z"'],
  })
    .argument("<service>", "the service's name")
    .option("--echo", "reply with the request")
    .addOption(new Option("--exec <CMD>", "run CMD with the request on its input; its output is the reply"))
    .option("--concurrency <N>", "requests at once (default: 1)", whole)
    .action((service: string, given: Given<WorkerSettings>) => runWorker(service, given));
  part(majordomo, {
    name: "call",
    summary: "ask a service",
    description: "Sends BODY, each a frame, or each message of standard input, and prints the replies.",
    examples: [
      "shoal majordomo call upper hello --connect tcp://127.0.0.1:5555",
      "shoal majordomo call mmi.service upper --connect tcp://127.0.0.1:5555",
    ],
  })
    .argument("<service>", "the service's name")
    .argument("[body...]", "the frames of one request; without any: standard input")
    .action((service: string, body: string[], given: Given) => call(service, body, given));
}

function part(parent: Command, face: CommandFace): Command {
  const command = addSocketOptions(addCommand(parent, face));
  const name = `shoal ${parent.name()} ${face.name}`;
  return command.configureOutput({
    outputError: (text, write) => {
      const what = text
        .replace(/^error: /, "")
        .trim()
        .replaceAll(/\s*\n\s*/g, " ");
      write(`${name}: ${what} (see ${name} --help)\n`);
    },
  });
}

function whole(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= 2_147_483_647) return value;
  throw new InvalidArgumentError("Expected a whole number, 1 or more.");
}

function settingsOf<S extends Settings>(
  given: Given<S>,
  way: "bind" | "connect",
  unfit: readonly string[],
): S {
  const settings = checkSettings(given as Given) as S;
  const other = way === "bind" ? "connect" : "bind";
  if (settings[other].length > 0) throw new UsageError(`--${other} does not fit here; expected --${way} EP`);
  for (const name of unfit) {
    if ((settings as Readonly<Record<string, unknown>>)[name] !== undefined) {
      throw new UsageError(`--${name} does not fit here`);
    }
  }
  return settings;
}

function logFor(settings: Settings, name: string): Log {
  return new Log(`majordomo ${name}`, settings.quiet ? "quiet" : settings.verbose ? "verbose" : "normal");
}

async function runBroker(given: Given<BrokerSettings>): Promise<void> {
  const settings = settingsOf(given, "bind", [...ONE_RUN, "json"]);
  const log = logFor(settings, "broker");
  const { queueTimeout } = settings;
  const socketOptions = await securityOptions(settings);
  const broker = new MajordomoBroker({
    socketOptions,
    ...(queueTimeout === undefined ? {} : { queueTimeout }),
  });
  const stop = new Stop().listen();
  try {
    broker.events
      .on("worker:join", (e) => log.info(`worker ${e.worker} offers ${e.service} (MDP ${e.dialect})`))
      .on("worker:leave", (e) => log.info(`worker ${e.worker} leaves ${e.service}: ${e.reason}`))
      .on("request:failed", (e) => log.detail(`a request for ${e.service} failed: ${e.reason}`))
      .on("peer:fault", (e) => log.warnOnce(`a peer broke the protocol: ${e.reason}`));
    for (const endpoint of settings.bind) {
      await asUsage(() => broker.bind(endpoint));
      log.info(`listening at ${broker.lastEndpoint ?? endpoint}`);
    }
    await aborted(stop.requested);
    await drained(broker.close({ linger: DRAIN }), stop);
  } finally {
    void broker.close({ linger: 0 });
    stop.dispose();
  }
}

async function runWorker(service: string, given: Given<WorkerSettings>): Promise<void> {
  const settings = settingsOf(given, "connect", [...ONE_RUN, "json"]);
  const { echo, exec: command, concurrency = 1 } = settings;
  if ((echo === true) === (command !== undefined)) throw new UsageError("expected --echo or --exec CMD");
  const log = logFor(settings, "worker");
  const socketOptions = await securityOptions(settings);
  const handler =
    command === undefined
      ? (request: Buffer[]) => request
      : (request: Buffer[], { signal }: RequestContext) =>
          exec(command, request, { signal, env: { SHOAL_SERVICE: service } });
  const worker = await asUsage(
    () => new MajordomoWorker(settings.connect, service, handler, { concurrency, socketOptions }),
  );
  const stop = new Stop().listen();
  try {
    worker.events
      .on("broker:join", (e) => log.info(`offering ${service} at ${e.endpoint}`))
      .on("broker:leave", (e) => log.info(`lost the broker at ${e.endpoint}: ${e.reason}`))
      .on("request:failed", (e) => log.warn(`a request failed: ${(e.error as Error).message}`));
    await aborted(stop.requested);
    await drained(worker.close({ linger: DRAIN }), stop);
  } finally {
    void worker.close({ linger: 0 });
    stop.dispose();
  }
}

async function call(service: string, body: readonly string[], given: Given): Promise<void> {
  const settings = settingsOf(given, "connect", []);
  if (body.length > 0 && settings.count !== undefined) throw new UsageError("--count needs standard input");
  const log = logFor(settings, "call");
  const socketOptions = await securityOptions(settings);
  const client = await asUsage(() => new MajordomoClient(settings.connect, { socketOptions }));
  const stop = new Stop().listen();
  const format = formatFor(settings);
  const output = new Output(format, stop.forced, stop.request);
  const input = new Input(format, settings.json === true, stop.requested);
  const { timeout = 30_000, count = Number.POSITIVE_INFINITY } = settings;
  const ask = (frames: Buffer[]): Promise<Buffer[]> =>
    client.request(service, frames, { timeout, signal: stop.forced });
  const print = async (reply: Promise<Buffer[]>): Promise<void> => output.print([await reply]);
  try {
    client.events.on("broker:leave", (e) => log.detail(`the broker at ${e.endpoint}: ${e.reason}`));
    if (body.length > 0) await print(ask(body.map((frame) => Buffer.from(frame))));
    else {
      const open: Promise<Buffer[]>[] = [];
      let taken = 0;
      for await (const frames of input.messages()) {
        const reply = ask(frames);
        reply.catch(() => undefined); // Whoever prints it hears of it.
        open.push(reply);
        if (open.length >= PIPELINE) await print(open.shift() as Promise<Buffer[]>);
        if (++taken >= count || output.gone) break;
      }
      for (const reply of open) await print(reply);
    }
    await output.flush();
    if (output.failure !== undefined) throw output.failure;
  } catch (error) {
    throw told(error, timeout);
  } finally {
    await client.close();
    stop.dispose();
  }
}

function told(error: unknown, timeout: number): unknown {
  if (error instanceof ServiceError) return new Failure(`${error.message} (${error.reason})`);
  if (hasCode(error, "ETIMEDOUT")) return new Failure(`no reply came within ${timeout} ms`);
  if (hasCode(error, "ABORT_ERR")) return new Failure("stopped before every reply came");
  return error;
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  // A command whose sockets are all away has nothing else that keeps the process.
  const hold = setInterval(() => undefined, 60_000);
  return new Promise((resolve) => {
    signal.addEventListener(
      "abort",
      () => {
        clearInterval(hold);
        resolve();
      },
      { once: true },
    );
  });
}

/** The second signal ends it at once; time alone does not, since what is in hand may take long. */
async function drained(closing: Promise<void>, stop: Stop): Promise<void> {
  const insisted = new AbortController();
  const insist = (): void => insisted.abort();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, insist);
  try {
    await unlessAborted(closing, insisted.signal);
    if (insisted.signal.aborted) throw new Failure("stopped before everything in hand had ended");
  } finally {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, insist);
    stop.dispose();
  }
}
