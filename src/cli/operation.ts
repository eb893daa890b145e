/**
 * Operation of serving commands: metrics, health, notifications of the service manager, and reloads.
 *
 *   /metrics          answers ───────────────────────────────────────────────────────> closed last
 *   /readyz           503 ── all endpoints open: 200 ── the first signal: 503
 *   service manager          READY=1                    STOPPING=1
 *   SIGHUP                   reads the configuration again ── problems: logged; the running state continues
 *                                                          ── applied: logged
 *
 * Reloads run one after the other; signals during a reload cause one more.
 */
import { execFile } from "node:child_process";
import type { Command } from "commander";
import { ConfigurationError, type Problem, problemLine } from "../config/file.js";
import { defined } from "../core/arguments.js";
import { MAX_TIMEOUT } from "../core/waiter.js";
import type { MetricsServer, MetricsSourcesByName } from "../metrics/index.js";
import { asUsage, describe, Failure } from "./failure.js";
import type { Log } from "./log.js";
import type { Pair } from "./pair.js";
import { Stop, terminal, unlessAborted } from "./terminal.js";

export interface OperationSettings {
  readonly metrics?: string;
}

export function addOperationOptions(command: Command): Command {
  return command.option("--metrics <HOST:PORT>", "answer /metrics, /healthz and /readyz over HTTP");
}

/** ms after the first signal. */
export const DRAIN = 10_000;

interface Served {
  stats(): object;
  close(options: { readonly linger: number }): Promise<void>;
}

export interface Serving<S extends Served> {
  readonly settings: OperationSettings & { readonly json?: boolean };
  readonly log: Log;
  /** Invalid arguments become bad usage. */
  create(): S;
  report(server: S): void;
  open?(server: S, stop: Stop): Promise<void>;
  sources(server: S): MetricsSourcesByName;
  /** Default: `server.close`. */
  close?(server: S, linger: number): Promise<void>;
  /** Starts last, drains first, closes last. */
  readonly pair?: Pair | undefined;
}

/** Serves until a signal, drains, and prints counters with --json. */
export async function serve<S extends Served>(serving: Serving<S>): Promise<void> {
  const { settings, log, pair } = serving;
  const server = await asUsage(() => serving.create());
  serving.report(server);
  const stop = new Stop().listen();
  let closing: Promise<void> | undefined;
  const close = async (linger: number): Promise<void> => {
    await pair?.gate.drain();
    await (serving.close?.(server, linger) ?? server.close({ linger }));
    await pair?.close();
  };
  const operated: Operated = {
    settings,
    log,
    stop,
    close: (linger) => (closing ??= close(linger)),
    sources: () => ({ ...serving.sources(server), ...defined({ pair: pair?.star }) }),
  };
  await operate(operated, async () => {
    await serving.open?.(server, stop);
    await pair?.start(log);
  });
  if (settings.json === true) terminal().stdout.write(`${JSON.stringify(server.stats())}\n`);
}

export interface Operated {
  readonly settings: OperationSettings;
  readonly log: Log;
  readonly stop: Stop;
  /** Linger 0 closes at once, also after an earlier call. */
  close(linger: number): Promise<unknown>;
  sources(): MetricsSourcesByName;
  readonly reload?: Reload;
}

/** Runs a service until a signal, drains and closes it. @throws Failure for a second signal before the end */
export async function operate(
  { settings, log, stop, close, sources, reload }: Operated,
  begin: () => Promise<void>,
): Promise<void> {
  const reloads = reload && reloadsOf(reload, log);
  let phase: "starting" | "running" | "draining" = "starting";
  const metrics = await openMetrics(settings, log, sources, () => (phase === "running" ? undefined : phase));
  const manager = serviceManager(log);
  try {
    await unlessAborted(begin(), stop.insisted);
    if (stop.insisted.aborted) throw new Failure("stopped before it had started");
    phase = "running";
    manager?.notify("--ready", "STATUS=running");
    reloads?.begin();
    await stop.wait();
    phase = "draining";
    manager?.notify("STOPPING=1", "STATUS=draining");
    // A service may need time: only a second signal ends it early.
    await unlessAborted(close(DRAIN), stop.insisted);
    if (stop.insisted.aborted) throw new Failure("stopped before everything in flight was finished");
  } finally {
    close(0).catch(() => undefined); // The first call's failure was thrown.
    reloads?.end();
    stop.dispose();
    await metrics?.close();
    await manager?.close();
  }
}

/** @param unready why the command is not ready; `undefined`: its sources decide. @throws UsageError, TransportError */
async function openMetrics(
  { metrics: address }: OperationSettings,
  log: Log,
  sources: () => MetricsSourcesByName,
  unready: () => string | undefined,
): Promise<MetricsServer | undefined> {
  if (address === undefined) return undefined;
  const { startPages } = await import("../metrics/pages.js");
  const server = await asUsage(() => startPages(address, sources, unready));
  log.info(`metrics at ${server.url}/metrics`, { metrics: `${server.url}/metrics` });
  return server;
}

/** ms. `systemd-notify` waits until its message is received. */
const NOTIFY_TIMEOUT = 5_000;

/**
 * Notifies a service manager (systemd, `Type=notify`) by the program `systemd-notify`, since Node.js cannot send
 * datagrams on a unix socket. The unit needs `NotifyAccess=all`.
 */
function serviceManager(
  log: Log,
): { notify(...message: readonly string[]): void; close(): Promise<void> } | undefined {
  const { env, pid } = process;
  if (env.NOTIFY_SOCKET === undefined || env.NOTIFY_SOCKET === "") return undefined;
  let last = Promise.resolve();
  let waiting = 0;
  const run = (message: readonly string[]): Promise<void> =>
    new Promise((resolve) => {
      execFile("systemd-notify", [...message], { timeout: NOTIFY_TIMEOUT }, (error) => {
        if (error !== null) log.warnOnce(`cannot notify the service manager: ${describe(error)}`);
        resolve();
      });
    });
  const notify = (...message: readonly string[]): void => {
    waiting += 1;
    last = last
      .then(() => run(message))
      .finally(() => {
        waiting -= 1;
      });
  };
  const interval = watchdogInterval(env, pid);
  // A timer of the event loop stops when the loop hangs.
  const alive = interval && setInterval(() => waiting === 0 && notify("WATCHDOG=1"), interval).unref();
  return {
    notify,
    close() {
      clearInterval(alive);
      return last;
    },
  };
}

/** ms: half of the service manager's timeout; `undefined` without a watchdog for this process. */
export function watchdogInterval(
  { WATCHDOG_USEC, WATCHDOG_PID }: NodeJS.ProcessEnv,
  pid: number,
): number | undefined {
  const microseconds = Number(WATCHDOG_USEC);
  if (WATCHDOG_USEC === undefined || !(microseconds > 0)) return undefined;
  if (WATCHDOG_PID !== undefined && WATCHDOG_PID !== "" && Number(WATCHDOG_PID) !== pid) return undefined;
  return Math.min(MAX_TIMEOUT, Math.max(1, Math.floor(microseconds / 2_000)));
}

// --- Reloads ---------------------------------------------------------------------------------------------------------

/** Reads a configuration again on SIGHUP. */
export interface Reload {
  /** A file, or options. */
  readonly what: string;
  /** @returns the changes in words; empty: none @throws ConfigurationError; Failure for what needs a restart */
  apply(): Promise<string>;
  /** Subject of the log line for a failed reload: "the proxies continue". */
  readonly unchanged: string;
}

/** Keeps a signal that comes before `begin`, when the first configuration is applied. */
function reloadsOf({ what, apply, unchanged }: Reload, log: Log): { begin(): void; end(): void } {
  const { signals } = terminal();
  let isAsked = false;
  let isBusy = true;
  const run = async (): Promise<void> => {
    isBusy = true;
    while (isAsked) {
      isAsked = false;
      try {
        const changed = await apply();
        log.info(`read ${what} again: ${changed === "" ? "nothing changed" : changed}`);
      } catch (error) {
        log.error(`${failureOf(what, error, log).message}; ${unchanged} unchanged`);
      }
    }
    isBusy = false;
  };
  const onHangUp = (): void => {
    isAsked = true;
    if (!isBusy) void run();
  };
  signals.on("SIGHUP", onHangUp);
  return { begin: () => void run(), end: () => void signals.off("SIGHUP", onHangUp) };
}

/** Logs every problem. @returns the command's failure */
export function failureOf(file: string, error: unknown, log: Log): Failure {
  if (error instanceof ConfigurationError) {
    for (const problem of error.problems) log.error(problemLine(problem));
    return problemsOf(file, error.problems.length);
  }
  return new Failure(`${file}: ${describe(error)}`);
}

/** Prints every problem of a file, or its content by `read`. @throws Failure for a problem */
export async function checkFile(
  file: string,
  { json }: { readonly json?: boolean },
  read: () => Promise<string>,
): Promise<void> {
  let problems: readonly Problem[] = [];
  const { stdout, stderr } = terminal();
  try {
    const found = await read();
    if (json !== true) stdout.write(`${file}: ${found}\n`);
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    problems = error.problems;
    if (json !== true) for (const problem of problems) stderr.write(`${problemLine(problem)}\n`);
  }
  if (json === true) stdout.write(`${JSON.stringify({ ok: problems.length === 0, problems })}\n`);
  if (problems.length > 0) throw problemsOf(file, problems.length);
}

function problemsOf(file: string, count: number): Failure {
  return new Failure(`${file} has ${count === 1 ? "a problem" : `${count} problems`}`);
}
