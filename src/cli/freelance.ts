/**
 * `shoal freelance`: a server that echoes or runs a program for each request, and
 * calls, without a broker between them (10/FLP).
 */
import { type Command, InvalidArgumentError } from "commander";
import type { Raw } from "../index.js";
import {
  FreelanceClient,
  FreelanceFailoverClient,
  type FreelanceModel,
  FreelanceServer,
  FreelanceShotgunClient,
} from "../patterns/freelance/index.js";
import { ServiceError } from "../patterns/kit/errors.js";
import { addCommand, type CommandFace } from "./command.js";
import { serve } from "./drain.js";
import { asUsage, describe, Failure, hasCode, UsageError } from "./failure.js";
import { formatFor } from "./format.js";
import { Input } from "./input.js";
import { addSocketOptions, type Given, type Settings } from "./options.js";
import { Output } from "./output.js";
import { type SecurityOptions, securityOptions } from "./security.js";
import {
  type AnswerSettings,
  addAnswerOptions,
  answerer,
  hideOptions,
  logFor,
  ONE_RUN,
  settingsFor,
} from "./service.js";
import { Stop } from "./signals.js";

/** ms that a call waits for its reply. */
const TIMEOUT = 10_000;

interface FreelanceSettings extends Settings {
  readonly model?: FreelanceModel;
}

interface ServerSettings extends FreelanceSettings, AnswerSettings {
  readonly identity?: string;
}

/** A client of any model. */
interface Caller {
  request(frames: Buffer[], options: { readonly signal: AbortSignal }): Promise<Buffer[]>;
  close(): Promise<void>;
}

export function addFreelanceCommand(program: Command): void {
  const freelance = addCommand(program, {
    name: "freelance",
    summary: "servers that clients choose from themselves: server, call (10/FLP)",
    description: "Servers without a broker, and calls to the fastest of those that live.",
    examples: [
      'shoal freelance server --bind tcp://127.0.0.1:5555 --exec "tr a-z A-Z"',
      "shoal freelance call hello --connect tcp://127.0.0.1:5555 --connect tcp://127.0.0.1:5556",
    ],
  });
  const server = part(freelance, {
    name: "server",
    summary: "answer requests",
    description:
      "Answers each request by an echo, or by a program that is run for it. Clients of model 3 know a server by " +
      "the endpoint that they dial: --identity says it where --bind does not.",
    examples: [
      "shoal freelance server --bind tcp://127.0.0.1:5555 --echo",
      'shoal freelance server --bind "tcp://*:5555" --identity tcp://localhost:5555 --exec "tr a-z A-Z"',
    ],
  }).option("--identity <EP>", "the endpoint as clients dial it, byte for byte (default: as bound)");
  hideOptions(addAnswerOptions(server), ["connect", "json", ...ONE_RUN]).action(
    (given: Given<ServerSettings>) => runServer(given),
  );
  part(freelance, {
    name: "call",
    summary: "ask the servers",
    description: "Sends BODY, each a frame, or each message of standard input, and prints the replies.",
    examples: ["shoal freelance call hello --connect tcp://127.0.0.1:5555 --connect tcp://127.0.0.1:5556"],
  })
    .argument("[body...]", "the frames of one request; without any: standard input")
    .action((body: string[], given: Given<FreelanceSettings>) => call(body, given));
}

function part(parent: Command, face: CommandFace): Command {
  return addSocketOptions(addCommand(parent, face)).option(
    "--model <N>",
    "1: one server after the other; 2: all at once, first reply; 3: the fastest (default)",
    modelOf,
  );
}

function modelOf(text: string): FreelanceModel {
  if (text === "1" || text === "2" || text === "3") return Number(text) as FreelanceModel;
  throw new InvalidArgumentError("Expected 1, 2 or 3.");
}

async function runServer(given: Given<ServerSettings>): Promise<void> {
  const settings = settingsFor(given, "bind", [...ONE_RUN, "json"]);
  const { model = 3, identity } = settings;
  const answer = answerer(settings);
  const [endpoint, ...more] = settings.bind;
  if (endpoint === undefined || more.length > 0) throw new UsageError("expected one --bind EP");
  const log = logFor("freelance server", settings);
  const socketOptions = await securityOptions(settings);
  const server = await asUsage(
    () =>
      new FreelanceServer({
        endpoint,
        model,
        socketOptions,
        ...(identity === undefined ? {} : { identity }),
        handler: answer,
      }),
  );
  server.events
    .on("handler-error", ({ error }) => log.warn(`a request failed: ${describe(error)}`))
    .on("invalid", ({ frames }) =>
      log.warnOnce(`what came is no request of model ${model} (${frames} frames)`),
    );
  await serve(server, new Stop().listen(), async () => {
    await asUsage(() => server.start());
    log.info(`listening at ${server.endpoint}`);
  });
}

async function call(body: readonly string[], given: Given<FreelanceSettings>): Promise<void> {
  const settings = settingsFor(given, "connect");
  if (body.length > 0 && settings.count !== undefined) throw new UsageError("--count needs standard input");
  const { timeout = TIMEOUT, count = Number.POSITIVE_INFINITY } = settings;
  const security = await securityOptions(settings);
  const stop = new Stop().listen();
  const format = formatFor(settings);
  const output = new Output(format, stop.forced, stop.request);
  const input = new Input(format, settings.json === true, stop.requested);
  const client = await asUsage(() => callerOf(settings, timeout, security));
  const ask = async (frames: Buffer[]): Promise<void> =>
    output.print([await client.request(frames, { signal: stop.forced })]);
  try {
    if (body.length > 0) await ask(body.map((frame) => Buffer.from(frame)));
    else {
      let taken = 0;
      for await (const frames of input.messages()) {
        await ask(frames);
        if (++taken >= count || output.gone) break;
      }
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

function callerOf(
  { model = 3, connect }: FreelanceSettings,
  timeout: number,
  security: SecurityOptions,
): Caller {
  if (model === 1) {
    const own = Math.max(1, Math.floor(timeout / connect.length));
    return new FreelanceFailoverClient<Raw>({
      endpoints: connect,
      timeout: own,
      rounds: 1,
      socketOptions: security,
    });
  }
  if (model === 2)
    return new FreelanceShotgunClient<Raw>({ endpoints: connect, timeout, socketOptions: security });
  const attemptTimeout = Math.max(1, Math.ceil(timeout / (connect.length + 1)));
  return new FreelanceClient<Raw>({ endpoints: connect, timeout, attemptTimeout, socketOptions: security });
}

function told(error: unknown, timeout: number): unknown {
  if (error instanceof ServiceError) return new Failure(error.message);
  if (hasCode(error, "ETIMEDOUT")) return new Failure(`no reply came within ${timeout} ms`);
  if (hasCode(error, "ABORT_ERR")) return new Failure("stopped before every reply came");
  return error;
}
