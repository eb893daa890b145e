/** Standard streams and signals of a command: the process's, or those of a program that runs commands. */
import { AsyncLocalStorage } from "node:async_hooks";
import { fstatSync } from "node:fs";
import type { Readable, Writable } from "node:stream";

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
