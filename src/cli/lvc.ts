/** shoal lvc: a forwarder that gives newcomers the last value of each topic. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { LastValueCache } from "../patterns/last-value-cache/last-value-cache.js";
import { addCommand } from "./command.js";
import { asUsage, describe, UsageError } from "./failure.js";
import { Log } from "./log.js";
import { addOperationOptions, type OperationSettings, openLog, operate } from "./operation.js";
import { checkSettings, collect } from "./options.js";
import { securityOptions } from "./security.js";
import { GRACE, Stop } from "./signals.js";

interface LvcSettings extends OperationSettings {
  readonly frontend?: readonly string[];
  readonly connect?: readonly string[];
  readonly backend?: readonly string[];
  readonly subscribe?: readonly string[];
  readonly store?: string;
  readonly maxTopics?: number;
  readonly maxBytes?: number;
  readonly maxValueBytes?: number;
  readonly plain?: string;
  readonly curveServerKey?: string;
  readonly curveCertificate?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
}

const MAX = 2_147_483_647;

export function addLvcCommand(program: Command): void {
  const command = addCommand(program, {
    name: "lvc",
    summary: "forward publishers' messages, and give newcomers the last value of each topic",
    description:
      "Takes messages of publishers at the frontend, passes them to subscribers at the backend, and sends each " +
      "new subscriber the last message of every topic that it asked for. A topic is a message's first frame.",
    examples: [
      "shoal lvc --frontend tcp://127.0.0.1:5557 --backend tcp://127.0.0.1:5558",
      "shoal lvc --connect tcp://127.0.0.1:5556 --backend tcp://127.0.0.1:5558 --store /tmp/values --max-topics 1000",
    ],
  })
    .addOption(endpoints("--frontend <EP>", "listen for publishers (repeatable)"))
    .addOption(endpoints("--connect <EP>", "connect to a publisher that listens (repeatable)"))
    .addOption(endpoints("--backend <EP>", "listen for subscribers (repeatable)"))
    .addOption(
      endpoints("--subscribe <PREFIX>", "ask publishers for topics with PREFIX (repeatable; default: all)"),
    )
    .option(
      "--store <DIR>",
      "keep the values in DIR, so that they survive a restart (needs the package lmdb)",
    )
    .option("--max-topics <N>", "topics kept (default 100000)", wholeNumber)
    .option("--max-bytes <N>", "bytes of topics and values kept (default 268435456)", wholeNumber)
    .option("--max-value-bytes <N>", "bytes of one value kept (default 1048576)", wholeNumber)
    .option("--json", "the accounts as an object on standard output at the end")
    .option("--plain <USER:PASSWORD>", "PLAIN security; the cache is the server")
    .option("--curve-server-key <KEY>", "CURVE security, as a client of this public key (Z85)")
    .option("--curve-certificate <FILE>", "CURVE keys, the secret file; without a server key: the server")
    .option("-q, --quiet", "only errors on standard error")
    .option("-v, --verbose", "newcomers, and topics that are not kept, on standard error");
  addOperationOptions(command).action((settings: LvcSettings) => lvc(settings));
}

function endpoints(flags: string, what: string): Option {
  return new Option(flags, what).argParser(collect);
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= MAX) return value;
  throw new InvalidArgumentError(`Expected a whole number from 1 to ${MAX}.`);
}

function given<T extends object>(settings: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)) as never;
}

async function lvc(settings: LvcSettings): Promise<void> {
  await openLog(settings);
  const { frontend = [], connect = [], backend = [], subscribe: topics, store } = settings;
  if (frontend.length + connect.length === 0) throw new UsageError("expected --frontend EP or --connect EP");
  if (backend.length === 0) throw new UsageError("expected --backend EP");
  const { maxTopics, maxBytes, maxValueBytes, plain, curveServerKey, curveCertificate } = settings;
  const named = given({ plain, curveServerKey, curveCertificate });
  const ends = { bind: [...frontend, ...backend], connect };
  const socketOptions = await securityOptions(checkSettings({ ...ends, ...named } as never));
  const log = new Log(
    "lvc",
    settings.quiet === true ? "quiet" : settings.verbose === true ? "verbose" : "normal",
  );
  const stop = new Stop().listen();
  try {
    const cache = await asUsage(
      () =>
        new LastValueCache({
          ...given({ topics, store, maxTopics, maxBytes, maxValueBytes }),
          frontendOptions: socketOptions,
          backendOptions: socketOptions,
        }),
    );
    try {
      cache.events
        .on("snapshot", (event) =>
          log.detail(`sent ${event.topics} values for ${JSON.stringify(event.prefix.toString())}`),
        )
        .on("uncached", ({ reason, bytes }) =>
          log.warnOnce(`a message is not kept: ${reason} (${bytes} bytes)`),
        )
        .on("evicted", () =>
          log.warnOnce("the bounds are reached: topics updated the longest ago are forgotten"),
        )
        .on("invalid", () => log.warnOnce("a subscriber sent what is no subscription"))
        .on("store:failed", ({ error }) => log.warn(describe(error)))
        .on("store:damaged", ({ records }) => log.warn(`${records} records of the store were damaged`));
      if (store !== undefined) log.info(`${cache.stats().topics} values read from ${store}`);
      const sources = () => [{ name: "lvc", kind: "lvc" as const, stats: () => cache.stats() }];
      await operate({ settings, log, stop, sources }, async (ready) => {
        for (const endpoint of frontend)
          log.info(`listening at ${await asUsage(() => cache.bindFrontend(endpoint))} for publishers`);
        for (const endpoint of connect) await asUsage(() => cache.connectFrontend(endpoint));
        for (const endpoint of backend)
          log.info(`listening at ${await asUsage(() => cache.bindBackend(endpoint))} for subscribers`);
        ready();
        await requested(stop);
      });
    } finally {
      await endWith(stop, cache);
    }
    if (settings.json === true) process.stdout.write(`${JSON.stringify(cache.stats())}\n`);
  } finally {
    stop.dispose();
  }
}

/** Settles when the command is told to stop. */
function requested(stop: Stop): Promise<void> {
  return new Promise((resolve) => {
    if (stop.requested.aborted) resolve();
    else stop.requested.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** Ends in good order, or at once when a second signal insists. */
async function endWith(stop: Stop, cache: LastValueCache): Promise<void> {
  const forced = new Promise<void>((resolve) => {
    stop.forced.addEventListener("abort", () => resolve(), { once: true });
  });
  await Promise.race([cache.close({ linger: GRACE }), forced]);
}
