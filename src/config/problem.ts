/** What is wrong in a configuration, and where. Apart from source.ts: programs without a file load no YAML. */

/** Characters of a value that a message shows. */
export const SHOWN = 60;

/** The way from the top of a file to one of its values: keys, and places in lists from 0. */
export type Path = readonly (string | number)[];

/** One fault, with its place. Values that came from variables, and secrets, are never repeated. */
export interface Problem {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  /** Such as `proxies.ticks.frontend.bind[0]`; empty for the file itself. */
  readonly path: string;
  /** What was expected, and what is there. */
  readonly message: string;
}

/** A fault before its place in the file is known. */
export interface Finding {
  readonly path: Path;
  /** Whether the last key of the path is at fault, not its value. */
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
