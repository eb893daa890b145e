/**
 * Standard streams and signals of a command: the process's, or those of a program that runs commands.
 *
 *   running --signal--> requested ---------- GRACE ms --> forced
 *            takes nothing new,   |            gives up what
 *            delivers and prints  |            still waits
 *            what it has          +--signal--> insisted, and forced
 *
 * A serving command drains after the first signal (operation.ts).
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { once } from "node:events";
import { fstatSync } from "node:fs";
import type { Readable, Writable } from "node:stream";

/** ms to deliver after the first signal. */
export const GRACE = 1_000;
const SIGNALS = ["SIGINT", "SIGTERM"] as const;

export interface Terminal {
  /** `undefined`: no input, as in /dev/null. */
  readonly stdin: Readable | undefined;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Emits SIGINT, SIGTERM and SIGHUP. */
  readonly signals: Pick<NodeJS.EventEmitter, "on" | "off">;
}

/** Standard input opens when it is read. */
const OWN: Terminal = {
  get stdin() {
    return isInputAbsent() ? undefined : process.stdin;
  },
  get stdout() {
    return process.stdout;
  },
  get stderr() {
    return process.stderr;
  },
  signals: process,
};

/** Created on use: following promises costs time. */
let runs: AsyncLocalStorage<Terminal> | undefined;

export function terminal(): Terminal {
  return runs?.getStore() ?? OWN;
}

export function withTerminal<T>(own: Terminal, run: () => T): T {
  runs ??= new AsyncLocalStorage();
  return runs.run(own, run);
}

/** Whether standard input is /dev/null, as for background jobs. An empty pipe or file is an input that ends. */
function isInputAbsent(): boolean {
  try {
    return fstatSync(0).isCharacterDevice() && process.stdin.isTTY !== true;
  } catch {
    return true; // The descriptor is closed.
  }
}

/** Escapes control characters, which could steer a terminal. */
export function printable(text: string): string {
  return text.replaceAll(/\p{C}/gu, (unsafe) => `\\u{${(unsafe.codePointAt(0) ?? 0).toString(16)}}`);
}

export function table(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows)
    for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, cell.length);
  return rows.map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at] as number))
      .join("  ")
      .trimEnd(),
  );
}

export class Stop {
  readonly #signals = terminal().signals;
  readonly #requested = new AbortController();
  readonly #forced = new AbortController();
  readonly #insisted = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  /** First signal: take nothing new. */
  get requested(): AbortSignal {
    return this.#requested.signal;
  }

  /** Second signal, or GRACE ms after the first: stop waiting. */
  get forced(): AbortSignal {
    return this.#forced.signal;
  }

  /** Second signal: end at once. */
  get insisted(): AbortSignal {
    return this.#insisted.signal;
  }

  /** Settles at the first signal. Keeps a process without connections alive. */
  async wait(): Promise<void> {
    const keepAlive = setInterval(() => undefined, 60_000);
    if (!this.requested.aborted) await once(this.requested, "abort");
    clearInterval(keepAlive);
  }

  /** Until `dispose`. */
  listen(): this {
    for (const signal of SIGNALS) this.#signals.on(signal, this.#onSignal);
    return this;
  }

  dispose(): void {
    for (const signal of SIGNALS) this.#signals.off(signal, this.#onSignal);
    clearTimeout(this.#timer);
  }

  #onSignal = (): void => {
    if (this.#requested.signal.aborted) this.#insisted.abort();
    this.request();
  };

  /** Stops without a signal; a second call forces. */
  request = (): void => {
    if (this.#requested.signal.aborted) {
      this.#forced.abort();
      return;
    }
    this.#requested.abort();
    this.#timer = setTimeout(() => this.#forced.abort(), GRACE);
  };
}

/** Settles with the promise, or with `undefined` when the signal is aborted first. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => resolve(undefined);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
