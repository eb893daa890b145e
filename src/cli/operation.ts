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

/** Linger 0 closes at once. */
export interface Service {
  close(options: { readonly linger: number }): Promise<void>;
}

interface Served extends Service {
  stats(): object;
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
    await pair?.drain();
    await (serving.close?.(server, linger) ?? server.close({ linger }));
    await pair?.close();
  };
  const service: Service = {
    close: ({ linger }) => {
      closing ??= close(linger);
      return closing;
    },
  };
  const sources = () => ({ ...serving.sources(server), ...defined({ pair: pair?.star }) });
  await operate({ settings, log, stop, service, sources }, async () => {
    await serving.open?.(server, stop);
    await pair?.start(log);
  });
  if (settings.json === true) terminal().stdout.write(`${JSON.stringify(server.stats())}\n`);
}

export interface Operated {
  readonly settings: OperationSettings;
  readonly log: Log;
  readonly stop: Stop;
  readonly service: Service;
  sources(): MetricsSourcesByName;
}

/** Runs a service until a signal, drains and closes it. @throws Failure for a second signal before the end */
export async function operate(
  { settings, log, stop, service, sources }: Operated,
  begin: () => Promise<void>,
): Promise<void> {
  let phase: "starting" | "running" | "draining" = "starting";
  const metrics = await openMetrics(settings, log, sources, () => (phase === "running" ? undefined : phase));
  const manager = ServiceManager.from(process.env, log);
  try {
    await unlessAborted(begin(), stop.insisted);
    if (stop.insisted.aborted) throw new Failure("stopped before it had started");
    phase = "running";
    manager?.ready();
    await stop.wait();
    phase = "draining";
    manager?.stopping();
    // A service may need time: only a second signal ends it early.
    await unlessAborted(service.close({ linger: DRAIN }), stop.insisted);
    if (stop.insisted.aborted) throw new Failure("stopped before everything in flight was finished");
  } finally {
    service.close({ linger: 0 }).catch(() => undefined); // The first call's failure was thrown.
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
class ServiceManager {
  readonly #log: Log;
  readonly #alive: NodeJS.Timeout | undefined;
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;

  private constructor(log: Log, interval: number | undefined) {
    this.#log = log;
    if (interval === undefined) return;
    // A timer of the event loop stops when the loop hangs.
    this.#alive = setInterval(() => {
      if (this.#waiting === 0) this.#notify(["WATCHDOG=1"]);
    }, interval).unref();
  }

  static from(env: NodeJS.ProcessEnv, log: Log): ServiceManager | undefined {
    return env.NOTIFY_SOCKET === undefined || env.NOTIFY_SOCKET === ""
      ? undefined
      : new ServiceManager(log, watchdogInterval(env, process.pid));
  }

  ready(): void {
    this.#notify(["--ready", "STATUS=running"]);
  }

  stopping(): void {
    this.#notify(["STOPPING=1", "STATUS=draining"]);
  }

  close(): Promise<void> {
    clearInterval(this.#alive);
    return this.#last;
  }

  #notify(message: readonly string[]): void {
    this.#waiting += 1;
    this.#last = this.#last
      .then(() => this.#run(message))
      .finally(() => {
        this.#waiting -= 1;
      });
  }

  #run(message: readonly string[]): Promise<void> {
    return new Promise((resolve) => {
      execFile("systemd-notify", [...message], { timeout: NOTIFY_TIMEOUT }, (error) => {
        if (error !== null) this.#log.warnOnce(`cannot notify the service manager: ${describe(error)}`);
        resolve();
      });
    });
  }
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

export interface ReloadEffects {
  /** @returns the changes in words; empty: none @throws ConfigurationError; Failure for what needs a restart */
  apply(): Promise<string>;
  /** Subject of the log line for a failed reload: "the proxies continue". */
  readonly unchanged: string;
}

/** A command that reads its configuration again on SIGHUP. */
export class Reloads {
  readonly #what: string;
  readonly #log: Log;
  readonly #effects: ReloadEffects;
  readonly #signals = terminal().signals;
  #isAsked = false;
  /** Also before {@link begin}. */
  #isBusy = true;

  /** Keeps a signal that comes before {@link begin}. @param what is read: a file, or options */
  constructor(what: string, log: Log, effects: ReloadEffects) {
    this.#what = what;
    this.#log = log;
    this.#effects = effects;
    this.#signals.on("SIGHUP", this.#onHangUp);
  }

  /** The first configuration is applied. */
  begin(): void {
    void this.#run();
  }

  close(): void {
    this.#signals.off("SIGHUP", this.#onHangUp);
  }

  readonly #onHangUp = (): void => {
    this.#isAsked = true;
    if (!this.#isBusy) void this.#run();
  };

  async #run(): Promise<void> {
    this.#isBusy = true;
    while (this.#isAsked) {
      this.#isAsked = false;
      try {
        const changed = await this.#effects.apply();
        this.#log.info(`read ${this.#what} again: ${changed === "" ? "nothing changed" : changed}`);
      } catch (error) {
        const { message } = failureOf(this.#what, error, this.#log);
        this.#log.error(`${message}; ${this.#effects.unchanged} unchanged`);
      }
    }
    this.#isBusy = false;
  }
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
