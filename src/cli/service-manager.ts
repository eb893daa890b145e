/**
 * What a service manager is told, where one asks (systemd, `Type=notify`): ready, stopping, and that it lives.
 *
 * The messages are datagrams on a unix socket, of which Node.js has none: the program `systemd-notify` sends them. So the
 * unit needs `NotifyAccess=all`.
 */
import { execFile } from "node:child_process";
import { describe } from "./failure.js";
import type { Log } from "./log.js";

/** ms for the program to end: it waits until its message is taken. */
const PATIENCE = 5_000;
/** The longest time that a timer holds, in ms. */
const MAX_INTERVAL = 2_147_483_647;

export class ServiceManager {
  readonly #log: Log;
  readonly #alive: NodeJS.Timeout | undefined;
  /** Messages leave one after the other. */
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;

  private constructor(log: Log, interval: number | undefined) {
    this.#log = log;
    if (interval === undefined) return;
    // Sent by a timer of the loop that passes the messages: where that hangs, it is not sent.
    this.#alive = setInterval(() => {
      if (this.#waiting === 0) this.#tell(["WATCHDOG=1"]);
    }, interval).unref();
  }

  /** @returns `undefined` where nobody wants to be told */
  static from(env: NodeJS.ProcessEnv, log: Log): ServiceManager | undefined {
    return env.NOTIFY_SOCKET === undefined || env.NOTIFY_SOCKET === ""
      ? undefined
      : new ServiceManager(log, watchdogInterval(env, process.pid));
  }

  ready(): void {
    this.#tell(["--ready", "STATUS=running"]);
  }

  stopping(): void {
    this.#tell(["STOPPING=1", "STATUS=draining"]);
  }

  /** Settles when everything was told, or could not be. */
  close(): Promise<void> {
    clearInterval(this.#alive);
    return this.#last;
  }

  #tell(message: readonly string[]): void {
    this.#waiting += 1;
    this.#last = this.#last
      .then(() => this.#run(message))
      .finally(() => {
        this.#waiting -= 1;
      });
  }

  #run(message: readonly string[]): Promise<void> {
    return new Promise((resolve) => {
      execFile("systemd-notify", [...message], { timeout: PATIENCE }, (error) => {
        if (error !== null) this.#log.warnOnce(`the service manager cannot be told: ${describe(error)}`);
        resolve();
      });
    });
  }
}

/**
 * ms between two signs of life: half of what the service manager waits for.
 *
 * @returns `undefined` where it waits for none, or not of this process
 */
export function watchdogInterval(
  { WATCHDOG_USEC, WATCHDOG_PID }: NodeJS.ProcessEnv,
  pid: number,
): number | undefined {
  const microseconds = Number(WATCHDOG_USEC);
  if (WATCHDOG_USEC === undefined || !(microseconds > 0)) return undefined;
  if (WATCHDOG_PID !== undefined && WATCHDOG_PID !== "" && Number(WATCHDOG_PID) !== pid) return undefined;
  return Math.min(MAX_INTERVAL, Math.max(1, Math.floor(microseconds / 2_000)));
}
