/**
 * What a command has of the world: standard input and output, the log's stream, and signals.
 *
 * The binary uses its process's. A caller that runs commands inside its own program, such as a test, gives each run a
 * terminal, and several runs at once do not share them.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { fstatSync } from "node:fs";
import type { Readable, Writable } from "node:stream";

export interface Terminal {
  /** `undefined`: there is no input, as in /dev/null. */
  readonly stdin: Readable | undefined;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Emits SIGINT, SIGTERM and SIGHUP. */
  readonly signals: Pick<NodeJS.EventEmitter, "on" | "off">;
}

/** The process's own. Its standard input is opened when it is read. */
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

/** Created by the first run with a terminal of its own: without it, no promise has to be followed. */
let runs: AsyncLocalStorage<Terminal> | undefined;

/** The terminal of the run that calls this. */
export function terminal(): Terminal {
  return runs?.getStore() ?? OWN;
}

/** Calls `run`, which has this terminal, with all that it starts. */
export function withTerminal<T>(own: Terminal, run: () => T): T {
  runs ??= new AsyncLocalStorage();
  return runs.run(own, run);
}

/** Whether standard input is /dev/null, as background jobs have it. An empty pipe or file is an input that ends. */
function isInputAbsent(): boolean {
  try {
    return fstatSync(0).isCharacterDevice() && process.stdin.isTTY !== true;
  } catch {
    return true; // The descriptor is closed.
  }
}

/** What other programs send must not steer a terminal. */
export function printable(text: string): string {
  return text.replaceAll(/\p{C}/gu, (unsafe) => `\\u{${(unsafe.codePointAt(0) ?? 0).toString(16)}}`);
}

/** Columns as wide as their widest cell; the last one has no end. */
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
