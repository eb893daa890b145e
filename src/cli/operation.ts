/**
 * What an operator needs of a command that serves: metrics and health, logs for machines, and word to the service manager.
 *
 *   metrics answer    ─────────────────────────────────────────────────────────────> closed last
 *   /readyz           503 ── ready(): 200 ── the first signal: 503
 *   service manager          READY=1         STOPPING=1
 */
import { type Command, Option } from "commander";
import { unreadiness } from "../metrics/readiness.js";
import type { MetricsServer, MetricsSource } from "../proxy/index.js";
import { asUsage } from "./failure.js";
import { type Log, SEVERITIES, type Severity, useLog } from "./log.js";
import { ServiceManager } from "./service-manager.js";
import type { Stop } from "./signals.js";

/** What the options come to. */
export interface OperationSettings {
  readonly metrics?: string;
  readonly logFormat?: "json" | "text";
  readonly logLevel?: Severity;
}

/** Adds `--metrics`, `--log-format` and `--log-level`. */
export function addOperationOptions(command: Command): Command {
  return command
    .option("--metrics <HOST:PORT>", "answer /metrics, /healthz and /readyz over HTTP")
    .addOption(
      new Option("--log-format <FORMAT>", "standard error as text, or as JSON a line (default text)").choices(
        ["text", "json"],
      ),
    )
    .addOption(
      new Option("--log-level <LEVEL>", "the least grave that is said; in place of -q and -v")
        .choices([...SEVERITIES])
        .conflicts(["quiet", "verbose"]),
    );
}

/** Before anything is said. */
export async function openLog({ logFormat, logLevel }: OperationSettings): Promise<void> {
  if (logLevel !== undefined) useLog({ level: logLevel });
  if (logFormat === "json") useLog({ write: await (await import("./log-json.js")).jsonLog() });
}

/** What is operated. */
export interface Operated {
  readonly settings: OperationSettings;
  readonly log: Log;
  readonly stop: Stop;
  /** What runs now; ready from `ready()` to the first signal at most. */
  sources(): readonly MetricsSource[];
}

/**
 * Runs a service with its metrics.
 *
 * @param run its life; calls `ready` when all its sockets are open
 * @throws UsageError for an address that is none, TransportError for one that cannot be had; what `run` throws
 */
export async function operate(
  { settings, log, stop, sources }: Operated,
  run: (ready: () => void) => Promise<void>,
): Promise<void> {
  let phase: "starting" | "running" | "draining" = "starting";
  const metrics = await openMetrics(settings.metrics, () =>
    sources().map((source) => ({
      name: source.name,
      kind: source.kind,
      stats: () => source.stats(),
      unready: () =>
        source.unready?.() ?? unreadiness(source.stats()) ?? (phase === "running" ? undefined : phase),
    })),
  );
  if (metrics !== undefined)
    log.info(`metrics at ${metrics.url}/metrics`, { metrics: `${metrics.url}/metrics` });
  const manager = ServiceManager.from(process.env, log);
  stop.requested.addEventListener(
    "abort",
    () => {
      phase = "draining";
      manager?.stopping();
    },
    { once: true },
  );
  try {
    await run(() => {
      phase = "running";
      manager?.ready();
    });
  } finally {
    await metrics?.close();
    await manager?.close();
  }
}

async function openMetrics(
  address: string | undefined,
  sources: () => readonly MetricsSource[],
): Promise<MetricsServer | undefined> {
  if (address === undefined) return undefined;
  const { startPages } = await import("../metrics/pages.js");
  return asUsage(() => startPages(address, sources));
}
