/** Faults of a configuration. Separate from source.ts, so programs without a file do not load YAML. */

/** Characters of a value in a message. */
export const SHOWN = 60;

/** Keys, and list indexes from 0. */
export type Path = readonly (string | number)[];

/** A fault, never with values of variables or secrets. */
export interface Problem {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  /** Path such as `proxies.ticks.frontend.bind[0]`; empty for the file. */
  readonly path: string;
  readonly message: string;
}

/** A fault without its place in the file. */
export interface Finding {
  readonly path: Path;
  /** The path's last key is at fault, not its value. */
  readonly atKey?: boolean;
  readonly message: string;
}

export function pathText(path: Path): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else text += text === "" ? part : `.${part}`;
  }
  return text;
}

/** A line in the format of editors and compilers. */
export function problemLine({ file, line, column, path, message }: Problem): string {
  return `${file}:${line}:${column}: ${path === "" ? "" : `${path}: `}${message}`;
}
