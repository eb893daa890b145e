/** shoal freelance server, call: services without a broker (10/FLP). */
import { type Command, InvalidArgumentError } from "commander";
import type { EndpointSource, Raw } from "../index.js";
import {
  FreelanceClient,
  FreelanceFailoverClient,
  type FreelanceModel,
  FreelanceServer,
  FreelanceShotgunClient,
} from "../patterns/freelance/index.js";
import { withEndpoints } from "./endpoints.js";
import { asUsage, describe, UsageError } from "./failure.js";
import { Log } from "./log.js";
import { addOperationOptions, type OperationSettings, serve } from "./operation.js";
import {
  addCommand,
  addGroup,
  addSharedOptions,
  checkSettings,
  type Given,
  type Settings,
} from "./options.js";
import { addSecurityOptions, type SecurityOptions, securityOptions } from "./security.js";
import {
  type AnswerSettings,
  addAnswerOptions,
  addCallOptions,
  answerer,
  type Caller,
  callFailure,
  runCalls,
} from "./service.js";
import { defined } from "./values.js";

/** ms. */
const TIMEOUT = 10_000;

interface FreelanceSettings extends Settings {
  readonly model?: FreelanceModel;
}

interface ServerSettings extends FreelanceSettings, AnswerSettings, OperationSettings {
  readonly identity?: string;
}

export function addFreelanceCommand(program: Command): void {
  const freelance = addGroup(program, {
    name: "freelance",
    summary: "services without a broker: server, call (10/FLP)",
    description: "Servers without a broker, and calls to the fastest live one.",
    examples: [
      'shoal freelance server --bind tcp://127.0.0.1:5555 --exec "tr a-z A-Z"',
      "shoal freelance call hello --connect tcp://127.0.0.1:5555 --connect tcp://127.0.0.1:5556",
    ],
  });
  const server = addCommand(freelance, {
    name: "server",
    summary: "answer requests",
    description:
      "Answers each request with an echo, or with the output of a program. Clients of model 3 know a server by the " +
      "endpoint that they connect to; set it with --identity where it differs from --bind.",
    examples: [
      "shoal freelance server --bind tcp://127.0.0.1:5555 --echo",
      'shoal freelance server --bind "tcp://*:5555" --identity tcp://localhost:5555 --exec "tr a-z A-Z"',
    ],
  });
  addSecurityOptions(addSharedOptions(server, ["bind"]), "bind");
  addOperationOptions(addAnswerOptions(addModel(server)))
    .option("--identity <EP>", "the endpoint that clients connect to, byte for byte (default: as bound)")
    .action(runServer);
  const calls = addCommand(freelance, {
    name: "call",
    summary: "call the servers",
    description:
      "Sends one request with a frame per BODY, or a request per message of standard input, and prints the replies.",
    examples: ["shoal freelance call hello --connect tcp://127.0.0.1:5555 --connect tcp://127.0.0.1:5556"],
  });
  addModel(addCallOptions(calls)).action(call);
}

function addModel(command: Command): Command {
  return command.option(
    "--model <N>",
    "1: one server after the other; 2: all at once, first reply wins; 3: the fastest (default)",
    modelOf,
  );
}

function modelOf(text: string): FreelanceModel {
  if (text === "1" || text === "2" || text === "3") return Number(text) as FreelanceModel;
  throw new InvalidArgumentError("Expected 1, 2 or 3.");
}

async function runServer(given: Given<ServerSettings>): Promise<void> {
  const settings = checkSettings<ServerSettings>(given, "--bind EP");
  const { model = 3, identity } = settings;
  const handler = answerer(settings);
  const [endpoint, ...more] = settings.bind;
  if (endpoint === undefined || more.length > 0) throw new UsageError("expected one --bind EP");
  const log = new Log("freelance server");
  const socketOptions = await securityOptions(settings, settings);
  await serve({
    settings,
    log,
    create: () =>
      new FreelanceServer(handler, { model, exposeErrors: true, socketOptions, ...defined({ identity }) }),
    report: (server) =>
      server.events
        .on("handler:failed", ({ error }) => log.warn(`a request failed: ${describe(error)}`))
        .on("message:invalid", ({ frames }) =>
          log.warnOnce(`received a message that is not a request of model ${model} (${frames} frames)`),
        ),
    sources: (server) => ({ server }),
    async open(server) {
      await asUsage(() => server.bind(endpoint));
      log.info(`listening at ${server.endpoint}`);
    },
  });
}

async function call(body: readonly string[], given: Given<FreelanceSettings>): Promise<void> {
  const settings = checkSettings<FreelanceSettings>(given, "--connect EP");
  const { timeout = TIMEOUT } = settings;
  const security = await securityOptions(settings, settings);
  await withEndpoints("freelance call", settings.connect, settings, new Log("freelance call"), (connect) =>
    runCalls({
      body,
      settings,
      open: () => callerOf(settings, connect, timeout, security),
      explain: (error) => callFailure(error, timeout),
    }),
  );
}

/** Divides the timeout while the number of servers is unknown. */
const CLUSTER_SERVERS = 3;

function callerOf(
  { model = 3 }: FreelanceSettings,
  connect: readonly string[] | EndpointSource,
  timeout: number,
  socketOptions: SecurityOptions,
): Caller {
  const isSource = "endpoints" in connect;
  const servers = isSource ? CLUSTER_SERVERS : connect.length;
  if (model === 1) {
    const own = Math.max(1, Math.floor(timeout / servers));
    return new FreelanceFailoverClient<Raw>(connect, {
      ...(isSource && { timeout }),
      attemptTimeout: own,
      retries: servers - 1,
      socketOptions,
    });
  }
  if (model === 2) return new FreelanceShotgunClient<Raw>(connect, { timeout, socketOptions });
  const attemptTimeout = Math.max(1, Math.ceil(timeout / (servers + 1)));
  return new FreelanceClient<Raw>(connect, { timeout, attemptTimeout, socketOptions });
}
