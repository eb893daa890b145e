/** shoal proxy queue, forwarder, streamer. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { defined } from "../core/arguments.js";
import { OPTIONS } from "../core/option-table.js";
import {
  ForwarderProxy,
  type ProxyDrainResult,
  type ProxyEndpoints,
  QueueProxy,
  type QueueProxyOptions,
  type SocketProxy,
  StreamerProxy,
} from "../proxy/index.js";
import { DRAIN, isName, NAME_RULE } from "../proxy/options.js";
import { canDrain } from "../proxy/states.js";
import type { ClusterEndpoints } from "./cluster-endpoints.js";
import { clusterSource } from "./endpoints.js";
import { asUsage, Failure, UsageError } from "./failure.js";
import { Log } from "./log.js";
import { addOperationOptions, type OperationSettings, serve } from "./operation.js";
import {
  addCheckCommand,
  addClusterOptions,
  addCommand,
  type ClusterSettings,
  checkEndpoints,
  isOfCluster,
  numberFlag,
  repeatable,
} from "./options.js";
import type { ConfigSettings } from "./proxy-fleet.js";
import { leftOf, report, reportEndpoints } from "./proxy-report.js";
import {
  addSecurityOptions,
  type SecurityOptions,
  type SecuritySettings,
  securityOptions,
} from "./security.js";

const KINDS = {
  queue: {
    what: "requests to workers, and replies back (ROUTER, DEALER)",
    create: (options: Options): SocketProxy => new QueueProxy(options),
  },
  forwarder: {
    what: "messages to subscribers, and subscriptions back (XSUB, XPUB)",
    create: (options: Options): SocketProxy => new ForwarderProxy(options),
  },
  streamer: {
    what: "tasks to workers (PULL, PUSH)",
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

/** Options of one side, without its name. */
interface SideSettings extends SecuritySettings, ClusterSettings {
  readonly bind: readonly string[];
  readonly connect: readonly string[];
  readonly advertise?: string;
}

interface ProxySettings extends OperationSettings {
  readonly name?: string;
  readonly control?: readonly string[];
  readonly capture?: readonly string[];
  readonly config?: string;
  readonly hwm?: number;
  readonly drain?: number;
  readonly json?: boolean;
  /** `--frontend`, `--frontend-connect`, `--backend-tls-cert` … */
  readonly [side: string]: unknown;
}

/** `frontendTlsCert` becomes `tlsCert`, `frontend` becomes `bind`. */
function settingsOf(name: SideName, settings: ProxySettings): SideSettings {
  const own = Object.entries(settings).flatMap(([key, value]) =>
    key.startsWith(name) && key !== name
      ? [[key.charAt(name.length).toLowerCase() + key.slice(name.length + 1), value]]
      : [],
  );
  return { connect: [], ...Object.fromEntries(own), bind: settings[name] ?? [] };
}

export function addProxyCommand(program: Command): void {
  const proxy = addCommand(program, {
    name: "proxy",
    summary: "forward messages between two networks",
    description:
      "Forwards messages between its frontend and its backend without changing them. Each side may listen and connect at " +
      "several endpoints, and has its own security.",
    examples: [
      'shoal proxy queue --frontend "tcp://*:5555" --backend "tcp://*:5556"',
      'shoal proxy forwarder --frontend-connect tcp://inside:5557 --backend "tcp://*:5558"',
      'shoal proxy streamer --frontend "tcp://*:5559" --backend "tcp://*:5560" --control ipc:///run/shoal/control',
      "shoal proxy --config /etc/shoal/proxy.yaml",
    ],
  });
  // Options after a kind belong to it.
  program.enablePositionalOptions();
  proxy.enablePositionalOptions();
  for (const kind of Object.keys(KINDS) as Kind[]) addKind(proxy, kind);
  addConfiguration(proxy);
}

/** Adds `--config` and `check`. Only these load YAML. */
function addConfiguration(proxy: Command): void {
  addCheckCommand(
    proxy,
    ["--config", "certificates", "shoal proxy check /etc/shoal/proxy.yaml"],
    async (file, settings) => {
      const { check } = await import("./proxy-fleet.js");
      await check(file, settings);
    },
  );
  addOperationOptions(proxy)
    .option("--config <FILE>", "run the proxies of a file (YAML), which SIGHUP reads again")
    .option("--json", "with --config: print the counters of each proxy as JSON when it ends")
    .allowUnknownOption()
    .allowExcessArguments()
    .action(async (settings: ConfigSettings, command: Command) => {
      const { config } = settings;
      const [other] = command.args;
      if (other !== undefined)
        throw new UsageError(
          `unknown ${other.startsWith("-") ? "option" : "command"} '${other.split("=")[0]}'; expected queue, forwarder, streamer, check, or --config FILE alone`,
        );
      if (config === undefined) command.help({ error: true });
      const { runConfiguration } = await import("./proxy-fleet.js");
      await runConfiguration(config, settings);
    });
}

function addKind(proxy: Command, kind: Kind): void {
  const command = addCommand(proxy, {
    name: kind,
    summary: `forward ${KINDS[kind].what}`,
    description:
      `Forwards ${KINDS[kind].what}. SIGTERM and SIGINT drain it: received messages are forwarded, then it ends, with exit ` +
      "code 1 if some were left; a second signal ends it at once.",
    examples: [`shoal proxy ${kind} --frontend tcp://127.0.0.1:5555 --backend tcp://127.0.0.1:5556`],
  });
  for (const side of ["frontend", "backend"]) {
    command
      .addOption(repeatable(`--${side} <EP>`, `listen at the ${side} (repeatable)`))
      .addOption(repeatable(`--${side}-connect <EP>`, `connect the ${side}; or cluster:NAME (repeatable)`))
      .option(
        `--${side}-advertise <NAME>`,
        `advertise where the ${side} listens in its cluster, under a name`,
      );
    addSecurityOptions(addClusterOptions(command, `${side}-`), "both", `${side}-`);
  }
  command
    .option("--name <NAME>", `name in metrics, logs and shoal top (default ${kind})`, proxyName)
    .addOption(
      repeatable("--control <EP>", "listen for PAUSE, RESUME, STATISTICS, … at a REP socket (repeatable)"),
    )
    .addOption(repeatable("--capture <EP>", "publish a copy of each message at a PUB socket (repeatable)"))
    .addOption(
      numberFlag(
        "--hwm <N>",
        "high-water mark: messages queued per peer and direction; 0: no limit",
        OPTIONS.sendHighWaterMark,
      ),
    )
    .addOption(numberFlag("--drain <S>", "timeout of the drain in seconds", DRAIN))
    .addOption(new Option("--config <FILE>").hideHelp()) // Refused with an explanation.
    .option("--json", "print the counters as JSON at the end");
  addOperationOptions(command).action((settings: ProxySettings, { parent }: Command) =>
    run(kind, { ...parent?.opts<ConfigSettings>(), ...settings }),
  );
}

function proxyName(text: string): string {
  if (isName(text)) return text;
  throw new InvalidArgumentError(`Expected ${NAME_RULE}.`);
}

async function run(kind: Kind, settings: ProxySettings): Promise<void> {
  if (settings.config !== undefined)
    throw new UsageError(
      `--config FILE defines everything: use "shoal proxy --config ${settings.config}", without ${kind} and its options`,
    );
  const { control, capture, name, drain = DRAIN.default } = settings;
  if (control !== undefined) checkEndpoints(control, "--control EP");
  if (capture !== undefined) checkEndpoints(capture, "--capture EP");
  const log = new Log(`proxy ${name ?? kind}`);
  const sides = { frontend: settingsOf("frontend", settings), backend: settingsOf("backend", settings) };
  const clusterOf = (each: SideName): Promise<ClusterEndpoints | undefined> =>
    clusterSource({
      command: `proxy-${each}`,
      option: `--${each}-advertise NAME or --${each}-connect`,
      endpoints: sides[each].connect,
      settings: sides[each],
      log,
      prefix: `${each}-`,
    });
  const clusters = { frontend: await clusterOf("frontend"), backend: await clusterOf("backend") };
  const side = async (each: SideName): Promise<Side> => ({
    ...(await sideOf(each, sides[each], clusters[each])),
    ...highWaterMarks(each, kind, settings.hwm),
  });
  const options: Options = {
    frontend: await side("frontend"),
    backend: await side("backend"),
    ...defined({ name }),
    ...(control === undefined ? {} : { control: { bind: control } }),
    ...(capture === undefined ? {} : { capture: { type: "pub", bind: capture } }),
  };
  const nodes = Object.values(clusters).filter((each) => each !== undefined);
  /** Empty if a controller ended the proxy. */
  const ended: { result?: ProxyDrainResult } = {};
  await serve({
    settings,
    log,
    create: () => KINDS[kind].create(options),
    report: (proxy) => report(proxy, log),
    sources: (proxy) => ({ [name ?? kind]: proxy }),
    async open(proxy, stop) {
      proxy.events.on("proxy:stopped", () => stop.request()); // A controller may have ended it.
      stop.insisted.addEventListener("abort", () => void proxy.close({ linger: 0 }), { once: true });
      proxy.drainTimeout = drain * 1_000;
      await Promise.all(nodes.map((node) => node.start()));
      await asUsage(() => proxy.start());
      for (const each of ["frontend", "backend"] as const) {
        const { advertise } = sides[each];
        if (advertise !== undefined) await clusters[each]?.announce(advertise, proxy.endpoints[each]);
      }
      reportEndpoints(proxy, log);
    },
    async close(proxy, linger) {
      await Promise.all(nodes.map((node) => node.withdraw()));
      if (linger > 0 && canDrain(proxy.state)) ended.result = await proxy.drain();
      await proxy.close(linger > 0 ? {} : { linger: 0 });
      await Promise.all(nodes.map((node) => node.close()));
    },
  });
  const { result } = ended;
  if (result !== undefined && !result.drained) throw new Failure(leftOf(result));
}

async function sideOf(
  name: SideName,
  settings: SideSettings,
  cluster: ClusterEndpoints | undefined,
): Promise<Side> {
  const { bind, connect } = settings;
  const fixed = connect.filter((endpoint) => !isOfCluster(endpoint));
  const source = fixed.length < connect.length ? cluster : undefined;
  if (source === undefined || bind.length + fixed.length > 0)
    checkEndpoints([...bind, ...fixed], `--${name} EP or --${name}-connect EP`);
  if (settings.advertise !== undefined && bind.length === 0)
    throw new UsageError(`--${name}-advertise ${settings.advertise} needs --${name} EP`);
  const security = await securityOptions(settings, { bind, connect: fixed }, `${name}-`);
  return { bind, connect: source ?? connect, ...security };
}

/** A streamer's sockets have one of the two. */
function highWaterMarks(name: SideName, kind: Kind, hwm: number | undefined): object {
  if (hwm === undefined) return {};
  if (kind !== "streamer") return { sendHighWaterMark: hwm, receiveHighWaterMark: hwm };
  return name === "frontend" ? { receiveHighWaterMark: hwm } : { sendHighWaterMark: hwm };
}
