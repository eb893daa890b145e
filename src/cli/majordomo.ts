/** `shoal majordomo`: a broker, a worker that echoes or runs a program for each request, and calls. */
import type { Command } from "commander";
import { ServiceError } from "../patterns/kit/errors.js";
import { MajordomoClient, MajordomoWorker } from "../patterns/majordomo/index.js";
import { addCommand } from "./command.js";
import { serve } from "./drain.js";
import { asUsage, describe, Failure, hasCode, UsageError } from "./failure.js";
import { formatFor } from "./format.js";
import { Input } from "./input.js";
import { addBrokerCommand } from "./majordomo-broker.js";
import { addSocketOptions, type Given, type Settings } from "./options.js";
import { Output } from "./output.js";
import { securityOptions } from "./security.js";
import {
  type AnswerSettings,
  addAnswerOptions,
  answerer,
  hideOptions,
  logFor,
  ONE_RUN,
  settingsFor,
  wholeNumber,
} from "./service.js";
import { Stop } from "./signals.js";

/** Requests of one input that are under way at once. */
const PIPELINE = 100;

interface CallSettings extends Settings {
  readonly heartbeat?: number;
}

interface WorkerSettings extends Settings, AnswerSettings {
  readonly concurrency?: number;
  readonly prefetch?: number;
  readonly heartbeat?: number;
}

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
  addBrokerCommand(majordomo);
  const worker = addAnswerOptions(
    addSocketOptions(
      addCommand(majordomo, {
        name: "worker",
        summary: "offer a service",
        description:
          "Offers a service at each broker it connects to: an echo, or a program that is run for each request.",
        examples: ['shoal majordomo worker upper --connect tcp://127.0.0.1:5555 --exec "tr a-z A-Z"'],
      }).argument("<service>", "the service's name"),
    ),
  )
    .option("--concurrency <N>", "requests at once (default 1)", wholeNumber(1))
    .option(
      "--prefetch <N>",
      "requests that may wait here (default: 0; from a concurrency of 16 on, 100 or as many)",
      wholeNumber(0),
    )
    .option("--heartbeat <MS>", "between two heartbeats to a broker (default 2500)", wholeNumber(1))
    .action((service: string, given: Given<WorkerSettings>) => runWorker(service, given));
  hideOptions(worker, ["bind", "json", ...ONE_RUN]);
  addSocketOptions(
    addCommand(majordomo, {
      name: "call",
      summary: "ask a service",
      description:
        "Sends BODY, each a frame, or each message of standard input, and prints the replies. With several --connect, " +
        "the next broker is asked when one is silent.",
      examples: [
        "shoal majordomo call upper hello --connect tcp://127.0.0.1:5555",
        "shoal majordomo call mmi.service upper --connect tcp://127.0.0.1:5555",
      ],
    })
      .argument("<service>", "the service's name")
      .argument("[body...]", "the frames of one request; without any: standard input"),
  )
    .option("--heartbeat <MS>", "between two heartbeats to the broker (default 2500)", wholeNumber(1))
    .action((service: string, body: string[], given: Given<CallSettings>) => call(service, body, given));
}

async function runWorker(service: string, given: Given<WorkerSettings>): Promise<void> {
  const settings = settingsFor(given, "connect", [...ONE_RUN, "json"]);
  const { concurrency = 1, prefetch } = settings;
  const answer = answerer(settings, { SHOAL_SERVICE: service });
  const log = logFor("majordomo worker", settings);
  const socketOptions = await securityOptions(settings);
  const worker = await asUsage(
    () =>
      new MajordomoWorker(settings.connect, service, answer, {
        concurrency,
        ...(prefetch === undefined ? {} : { prefetch }),
        socketOptions,
        ...intervalOf(settings),
      }),
  );
  worker.events
    .on("broker:joined", (e) => log.info(`offering ${service} at ${e.endpoint}`))
    .on("broker:left", (e) => log.info(`lost the broker at ${e.endpoint}: ${e.reason}`))
    .on("handler:failed", (e) => log.warn(`a request failed: ${describe(e.error)}`));
  await serve(worker, new Stop().listen(), () => undefined);
}

async function call(service: string, body: readonly string[], given: Given<CallSettings>): Promise<void> {
  const settings = settingsFor(given, "connect");
  if (body.length > 0 && settings.count !== undefined) throw new UsageError("--count needs standard input");
  const log = logFor("majordomo call", settings);
  const socketOptions = await securityOptions(settings);
  const client = await asUsage(
    () => new MajordomoClient(settings.connect, { socketOptions, ...intervalOf(settings) }),
  );
  const stop = new Stop().listen();
  const format = formatFor(settings);
  const output = new Output(format, stop.forced, stop.request);
  const input = new Input(format, settings.json === true, stop.requested);
  const { timeout = 30_000, count = Number.POSITIVE_INFINITY } = settings;
  const ask = (frames: Buffer[]): Promise<Buffer[]> =>
    client.request(service, frames, { timeout, signal: stop.forced });
  /** Replies are printed in the order of the requests, each as soon as it can be. */
  const printAfter = (former: Promise<void> | undefined, reply: Promise<Buffer[]>): Promise<void> => {
    const printed = Promise.all([reply, former]).then(([frames]) => output.print([frames]));
    printed.catch(() => undefined); // Whoever waits for it hears of it.
    return printed;
  };
  try {
    client.events.on("broker:left", (e) => log.detail(`the broker at ${e.endpoint}: ${e.reason}`));
    if (body.length > 0) await printAfter(undefined, ask(body.map((frame) => Buffer.from(frame))));
    else {
      const prints: Promise<void>[] = [];
      let taken = 0;
      for await (const frames of input.messages()) {
        prints.push(printAfter(prints.at(-1), ask(frames)));
        if (prints.length >= PIPELINE) await prints.shift();
        if (++taken >= count || output.gone) break;
      }
      for (const printed of prints) await printed;
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

function intervalOf({ heartbeat }: { readonly heartbeat?: number }): { readonly heartbeatInterval?: number } {
  return heartbeat === undefined ? {} : { heartbeatInterval: heartbeat };
}

function told(error: unknown, timeout: number): unknown {
  if (error instanceof ServiceError) return new Failure(`${error.message} (${error.reason})`);
  if (hasCode(error, "ETIMEDOUT")) return new Failure(`no reply came within ${timeout} ms`);
  if (hasCode(error, "ABORT_ERR")) return new Failure("stopped before every reply came");
  return error;
}
