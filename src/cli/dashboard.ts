/** shoal dashboard: a page with proxies, nodes and other programs with metrics. */
import type { Command } from "commander";
import { asUsage, UsageError } from "./failure.js";
import { Log } from "./log.js";
import { addCommand, numberFlag, repeatable } from "./options.js";
import { addSecurityOptions, readPasswordFile, type SecuritySettings } from "./security.js";
import { Stop } from "./terminal.js";

const DASHBOARD_ADDRESS = "127.0.0.1:9465";
const MAX_DASHBOARD_ADDRESSES = 256;
/** s. */
const INTERVAL = { default: 2, min: 0.2, max: 60 };

interface DashboardSettings extends SecuritySettings {
  readonly listen?: string;
  readonly interval?: number;
  readonly tokenFile?: string;
  readonly host?: readonly string[];
}

export function addDashboardCommand(program: Command): void {
  const command = addCommand(program, {
    name: "dashboard",
    summary: "show proxies, nodes and brokers in a page: who is connected, rates, queues, drops",
    description:
      "Serves a page with what runs at each ADDRESS, live: http://HOST:PORT of --metrics, or the control endpoint of a proxy or a " +
      "node. It reads them only while a page is open. Everyone who reaches the address can look.",
    examples: [
      "shoal dashboard http://127.0.0.1:9464",
      "shoal dashboard tcp://127.0.0.1:5599 http://10.0.0.5:9464 --token-file token",
      "shoal dashboard ipc:///run/shoal/control --listen 10.0.0.7:9465 --host ops.example",
    ],
  })
    .argument("<address...>", "metrics over HTTP, or the control endpoint of a proxy or a node")
    .option("--listen <HOST:PORT>", `where the page is (default ${DASHBOARD_ADDRESS})`)
    .addOption(numberFlag("--interval <S>", "seconds between two readings", INTERVAL, "seconds"))
    .option(
      "--token-file <FILE>",
      "file with a token; its holders may pause, resume and drain at control endpoints (default: no one may)",
    )
    .addOption(
      repeatable("--host <NAME>", "another host name of the page than localhost and addresses (repeatable)"),
    );
  addSecurityOptions(command, "connect").action((addresses: string[], settings: DashboardSettings) =>
    dashboard(addresses, settings),
  );
}

async function dashboard(texts: readonly string[], settings: DashboardSettings): Promise<void> {
  const { listen = DASHBOARD_ADDRESS, interval, tokenFile, host } = settings;
  if (texts.length > MAX_DASHBOARD_ADDRESSES)
    throw new UsageError(`expected at most ${MAX_DASHBOARD_ADDRESSES} addresses; got ${texts.length}`);
  const token = tokenFile === undefined ? undefined : await readPasswordFile(tokenFile, "token");
  const [{ withSubjects }, { startDashboard }] = await Promise.all([
    import("./subjects.js"),
    import("../dashboard/server.js"),
  ]);
  const log = new Log("dashboard");
  const stop = new Stop().listen();
  await withSubjects(texts, settings, true, async (subjects) => {
    const server = await asUsage(() =>
      startDashboard(listen, subjects, {
        ...(interval === undefined ? {} : { interval: Math.round(interval * 1_000) }),
        ...(token === undefined ? {} : { token }),
        ...(host === undefined ? {} : { hosts: host }),
      }),
    );
    log.info(`listening at ${server.url}`, { url: server.url });
    for (const address of token === undefined ? [] : texts.filter((text) => /^https?:/.test(text)))
      log.warn(`${address} has metrics only, so the token does nothing there: use a control endpoint`, {
        address,
      });
    try {
      await stop.wait();
    } finally {
      await server.close();
    }
  }).finally(() => stop.dispose());
}
