/** shoal lvc: a forwarder that sends new subscribers the last value of each topic. */
import type { Command } from "commander";
import { defined } from "../core/arguments.js";
import { OPTIONS as CACHE, LastValueCache } from "../patterns/last-value-cache/last-value-cache.js";
import { withEndpoints } from "./endpoints.js";
import { asUsage, describe } from "./failure.js";
import { Log } from "./log.js";
import { addOperationOptions, type OperationSettings, serve } from "./operation.js";
import {
  addClusterOptions,
  addCommand,
  type ClusterSettings,
  checkEndpoints,
  numberFlag,
  repeatable,
} from "./options.js";
import { addPairOptions, Pair, type PairSettings } from "./pair.js";
import { addSecurityOptions, securityOptions } from "./security.js";
import { GRACE } from "./terminal.js";

interface LvcSettings extends OperationSettings, PairSettings, ClusterSettings {
  readonly frontend?: readonly string[];
  readonly connect?: readonly string[];
  readonly backend?: readonly string[];
  readonly subscribe?: readonly string[];
  readonly store?: string;
  readonly maxTopics?: number;
  readonly json?: boolean;
}

export function addLvcCommand(program: Command): void {
  const command = addCommand(program, {
    name: "lvc",
    summary: "forward messages, and send new subscribers the last value of each topic",
    description:
      "Forwards messages of publishers at the frontend to subscribers at the backend, and sends each new subscriber the " +
      "last message of every topic that it subscribes to. A topic is the first frame of a message.",
    examples: [
      "shoal lvc --frontend tcp://127.0.0.1:5557 --backend tcp://127.0.0.1:5558",
      "shoal lvc --connect tcp://127.0.0.1:5556 --backend tcp://127.0.0.1:5558 --store /tmp/values --max-topics 1000",
    ],
  })
    .addOption(repeatable("--frontend <EP>", "listen for publishers (repeatable)"))
    .addOption(
      repeatable("--connect <EP>", "connect to a publisher that listens, or to cluster:NAME (repeatable)"),
    )
    .addOption(repeatable("--backend <EP>", "listen for subscribers (repeatable)"))
    .addOption(
      repeatable("--subscribe <PREFIX>", "subscribe to topics with PREFIX (repeatable; default: all)"),
    )
    .option("--store <DIR>", "keep the values in DIR across restarts (needs the package lmdb)")
    .addOption(numberFlag("--max-topics <N>", "maximum number of topics", CACHE.maxTopics))
    .option("--json", "print the counters as JSON at the end");
  addOperationOptions(addPairOptions(addClusterOptions(addSecurityOptions(command)))).action(
    (settings: LvcSettings) => lvc(settings),
  );
}

async function lvc(settings: LvcSettings): Promise<void> {
  const { frontend = [], connect = [] } = settings;
  checkEndpoints([...frontend, ...connect], "--frontend EP or --connect EP");
  const backend = checkEndpoints(settings.backend, "--backend EP");
  const socketOptions = await securityOptions(settings, { bind: [...frontend, ...backend], connect });
  const log = new Log("lvc");
  const { subscribe: topics, store, maxTopics } = settings;
  await withEndpoints("lvc", connect, settings, log, async (publishers) => {
    const pair = await Pair.from(settings, socketOptions, log);
    await serve({
      settings,
      log,
      pair,
      create: () =>
        new LastValueCache({
          ...defined({ topics, store, maxTopics, gate: pair?.gate }),
          frontendOptions: socketOptions,
          backendOptions: socketOptions,
        }),
      report(cache) {
        report(cache, log);
        if (store !== undefined) log.info(`read ${cache.stats().topics} values from ${store}`);
      },
      sources: (lvc) => ({ lvc }),
      async open(cache) {
        for (const endpoint of frontend)
          log.info(`listening at ${await asUsage(() => cache.bind("frontend", endpoint))} for publishers`);
        for (const from of "endpoints" in publishers ? [publishers] : publishers)
          await asUsage(() => cache.connect("frontend", from));
        for (const endpoint of backend)
          log.info(`listening at ${await asUsage(() => cache.bind("backend", endpoint))} for subscribers`);
      },
      close: (cache, linger) => cache.close({ linger: Math.min(linger, GRACE) }),
    });
  });
}

function report(cache: LastValueCache, log: Log): void {
  cache.events
    .on("snapshot:sent", (event) =>
      log.debug(`sent ${event.topics} values for ${JSON.stringify(event.prefix.toString())}`),
    )
    .on("message:uncached", ({ reason, bytes }) =>
      log.warnOnce(`a message is not cached: ${reason} (${bytes} bytes)`),
    )
    .on("topic:evicted", () =>
      log.warnOnce("the cache is full: evicting the topics that were updated longest ago"),
    )
    .on("message:invalid", () => log.warnOnce("a subscriber sent an invalid subscription"))
    .on("store:failed", ({ error }) => log.warn(describe(error)))
    .on("store:damaged", ({ records }) => log.warn(`${records} records of the store are damaged`));
}
