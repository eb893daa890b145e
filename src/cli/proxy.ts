/** shoal proxy queue, forwarder, streamer: what an operator puts between two networks. */
import { type Command, InvalidArgumentError, Option } from "commander";
import {
  ForwarderProxy,
  type ProxyEndpoints,
  QueueProxy,
  type QueueProxyOptions,
  type SocketProxy,
  StreamerProxy,
} from "../proxy/index.js";
import { isName, NAME_RULE } from "../proxy/options.js";
import { addCommand } from "./command.js";
import { serve } from "./drain.js";
import { asUsage, Failure, UsageError } from "./failure.js";
import { addOperationOptions, type OperationSettings, openLog, operate } from "./operation.js";
import { checkSettings, collect } from "./options.js";
import { addConfiguration, type ConfigSettings } from "./proxy-config.js";
import { Drained } from "./proxy-drained.js";
import { leftOf, report, reportEndpoints } from "./proxy-report.js";
import { type SecurityOptions, securityOptions } from "./security.js";
import { logFor, wholeNumber } from "./service.js";
import { Stop } from "./signals.js";

/** s that a drain may take, unless it is told otherwise. */
const DRAIN = 10;

/** What each kind is, and what makes it. What the command line can say is right for every kind. */
const KINDS = {
  queue: {
    what: "requests to workers, replies back (ROUTER, DEALER)",
    create: (options: Options): SocketProxy => new QueueProxy(options),
  },
  forwarder: {
    what: "news to subscribers, subscriptions back (XSUB, XPUB)",
    create: (options: Options): SocketProxy => new ForwarderProxy(options),
  },
  streamer: {
    what: "work to workers (PULL, PUSH)",
    create: (options: Options): SocketProxy => new StreamerProxy(options),
  },
} as const;

type Kind = keyof typeof KINDS;
type Side = ProxyEndpoints & SecurityOptions;
type Options = Pick<QueueProxyOptions, "capture" | "control" | "name"> & {
  readonly frontend: Side;
  readonly backend: Side;
};
type SideName = "frontend" | "backend";

interface ProxySettings extends OperationSettings {
  readonly name?: string;
  readonly frontend?: readonly string[];
  readonly backend?: readonly string[];
  readonly frontendConnect?: readonly string[];
  readonly backendConnect?: readonly string[];
  readonly frontendPlain?: string;
  readonly backendPlain?: string;
  readonly frontendCurveServerKey?: string;
  readonly backendCurveServerKey?: string;
  readonly frontendCurveCertificate?: string;
  readonly backendCurveCertificate?: string;
  readonly control?: readonly string[];
  readonly capture?: readonly string[];
  readonly config?: string;
  readonly hwm?: number;
  readonly drain?: number;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
}

export function addProxyCommand(program: Command): void {
  const proxy = addCommand(program, {
    name: "proxy",
    summary: "stand between two networks and pass messages",
    description:
      "Passes messages between its frontend and its backend, frames as they are. Each side may listen and connect, " +
      "at several endpoints, and has security of its own.",
    examples: [
      'shoal proxy queue --frontend "tcp://*:5555" --backend "tcp://*:5556"',
      'shoal proxy forwarder --frontend-connect tcp://inside:5557 --backend "tcp://*:5558"',
      'shoal proxy streamer --frontend "tcp://*:5559" --backend "tcp://*:5560" --control ipc:///run/shoal/control',
      "shoal proxy --config /etc/shoal/proxy.yaml",
    ],
  });
  // What stands after a kind belongs to it, --json and --config too.
  program.enablePositionalOptions();
  proxy.enablePositionalOptions();
  for (const kind of Object.keys(KINDS) as Kind[]) addKind(proxy, kind);
  addConfiguration(proxy);
}

function addKind(proxy: Command, kind: Kind): void {
  const command = addCommand(proxy, {
    name: kind,
    summary: `pass ${KINDS[kind].what}`,
    description:
      `Passes ${KINDS[kind].what}. SIGTERM and SIGINT drain it: what came in is passed on, then it ends, with exit code 1 if ` +
      "something was left; a second one ends it at once.",
    examples: [`shoal proxy ${kind} --frontend tcp://127.0.0.1:5555 --backend tcp://127.0.0.1:5556`],
  });
  for (const side of ["frontend", "backend"]) {
    command
      .addOption(endpoints(`--${side} <EP>`, `listen at the ${side} (repeatable)`))
      .addOption(endpoints(`--${side}-connect <EP>`, `connect the ${side} (repeatable)`))
      .option(`--${side}-plain <USER:PASSWORD>`, `PLAIN security of the ${side}; where it listens the server`)
      .option(
        `--${side}-curve-server-key <KEY>`,
        `CURVE security of the ${side}, as a client of this key (Z85)`,
      )
      .option(
        `--${side}-curve-certificate <FILE>`,
        `CURVE keys of the ${side}, the secret file; without a server key: the server`,
      );
  }
  command
    .option("--name <NAME>", `its name in metrics, logs and shoal top (default ${kind})`, proxyName)
    .addOption(endpoints("--control <EP>", "listen for PAUSE, RESUME, STATISTICS, … (REP, repeatable)"))
    .addOption(endpoints("--capture <EP>", "publish a copy of each message here (PUB, repeatable)"))
    .option("--hwm <N>", "messages queued for or from one peer; 0: no limit (default 1000)", wholeNumber(0))
    .option("--drain <S>", `seconds that draining may take (default ${DRAIN})`, wholeNumber(0))
    .addOption(new Option("--config <FILE>").hideHelp()) // Refused, and said why.
    .option("--json", "print what passed when it ends, as JSON")
    .option("-q, --quiet", "only errors on standard error")
    .option("-v, --verbose", "peers that come and go on standard error");
  addOperationOptions(command).action((settings: ProxySettings, { parent }: Command) =>
    run(kind, { ...parent?.opts<ConfigSettings>(), ...settings }),
  );
}

function proxyName(text: string): string {
  if (isName(text)) return text;
  throw new InvalidArgumentError(`Expected ${NAME_RULE}.`);
}

function endpoints(flags: string, what: string): Option {
  return new Option(flags, what).argParser(collect);
}

async function run(kind: Kind, settings: ProxySettings): Promise<void> {
  if (settings.config !== undefined)
    throw new UsageError(
      `--config FILE says all of it: "shoal proxy --config ${settings.config}", without ${kind} and its options`,
    );
  await openLog(settings);
  const { control, capture, name, drain = DRAIN } = settings;
  for (const bind of [control, capture]) if (bind !== undefined) checkSettings({ bind });
  const options: Options = {
    frontend: await side("frontend", kind, settings),
    backend: await side("backend", kind, settings),
    ...(name === undefined ? {} : { name }),
    ...(control === undefined ? {} : { control: { bind: control } }),
    ...(capture === undefined ? {} : { capture: { type: "pub", bind: capture } }),
  };
  const log = logFor(`proxy ${name ?? kind}`, settings);
  const proxy = await asUsage(() => KINDS[kind].create(options));
  const stop = new Stop().listen();
  report(proxy, log);
  proxy.events.on("stop", () => stop.request()); // A controller may have ended it.
  const service = new Drained(proxy, drain * 1_000);
  const sources = () => [{ name: name ?? kind, kind, stats: () => proxy.stats() }];
  await operate({ settings, log, stop, sources }, (ready) =>
    serve(service, stop, async () => {
      await asUsage(() => proxy.start());
      reportEndpoints(proxy, log);
      ready();
    }),
  );
  if (settings.json === true) process.stdout.write(`${JSON.stringify(proxy.stats())}\n`);
  const { result } = service;
  if (result !== undefined && !result.drained) throw new Failure(leftOf(result));
}

/** @throws UsageError; Failure for a certificate that cannot be read */
async function side(name: SideName, kind: Kind, settings: ProxySettings): Promise<Side> {
  const bind = settings[name] ?? [];
  const connect = settings[`${name}Connect`] ?? [];
  const plain = settings[`${name}Plain`];
  const curveServerKey = settings[`${name}CurveServerKey`];
  const curveCertificate = settings[`${name}CurveCertificate`];
  if (bind.length + connect.length === 0)
    throw new UsageError(`expected --${name} EP or --${name}-connect EP`);
  if (plain !== undefined && bind.length > 0 && connect.length > 0)
    throw new UsageError(
      `--${name}-plain is the server's with --${name}, the client's with --${name}-connect`,
    );
  const security = await securityOptions(
    checkSettings({
      bind,
      connect,
      ...(plain === undefined ? {} : { plain }),
      ...(curveServerKey === undefined ? {} : { curveServerKey }),
      ...(curveCertificate === undefined ? {} : { curveCertificate }),
    }),
  );
  return { bind, connect, ...marksOf(name, kind, settings.hwm), ...security };
}

/** The marks that a side's socket has: a streamer's send or receive only. */
function marksOf(name: SideName, kind: Kind, hwm: number | undefined): object {
  if (hwm === undefined) return {};
  if (kind !== "streamer") return { sendHighWaterMark: hwm, receiveHighWaterMark: hwm };
  return name === "frontend" ? { receiveHighWaterMark: hwm } : { sendHighWaterMark: hwm };
}
