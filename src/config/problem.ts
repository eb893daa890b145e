/**
 * Faults of a configuration with their places. Separate from source.ts, so programs without a file do not load YAML.
 */

/** Maximum characters of a value in a message. */
export const SHOWN = 60;

/** Path from the top of a file to a value: keys, and list indexes from 0. */
export type Path = readonly (string | number)[];

/** A fault with its place. Values of variables and secrets never appear. */
export interface Problem {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  /** For example `proxies.ticks.frontend.bind[0]`; empty for the file itself. */
  readonly path: string;
  /** Expected and actual value. */
  readonly message: string;
}

/** A fault without its place in the file. */
export interface Finding {
  readonly path: Path;
  /** Whether the path's last key is at fault, not its value. */
  readonly atKey?: boolean;
  readonly message: string;
}

/** `proxies.ticks.frontend.bind[0]` */
export function pathText(path: Path): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else text += text === "" ? part : `.${part}`;
  }
  return text;
}

/** `FILE:LINE:COLUMN: PATH: MESSAGE`, as editors and compilers write it. */
export function problemLine({ file, line, column, path, message }: Problem): string {
  return `${file}:${line}:${column}: ${path === "" ? "" : `${path}: `}${message}`;
}
