/**
 * Reads the files of a configuration, fills in environment variables, and reports faults without the values of secrets.
 *
 *   ${NAME}    in any text, any number of times: the variable's value, as text
 *   $${        a literal ${
 *
 * Only values are expanded, not keys. An unset or empty variable is a fault, so that no missing password becomes empty.
 * Separate from source.ts, so that programs without a file do not load YAML.
 */
import { constants, createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { buffer } from "node:stream/consumers";

/** Characters of a value in a message. */
export const SHOWN = 60;
/** Every `$${`, and every `${…}`. */
const REFERENCE = /\$\$\{|\$\{([^}]*)\}?/g;
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
/** Bytes of a configuration, and of a named file. */
const MAX_FILE = 1_048_576;
/** Shortest variable's value that is searched for in messages. */
const MIN_SECRET = 3;

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

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Expanded {
  readonly value: unknown;
  readonly findings: readonly Finding[];
  /** Places with a variable's value, by {@link placeKey}; never repeat these values. */
  readonly filled: ReadonlySet<string>;
  /** Used variables; never repeat their values either. */
  readonly variables: ReadonlyMap<string, string>;
}

export function placeKey(path: Path): string {
  return JSON.stringify(path);
}

export function expand(value: unknown, environment: Environment): Expanded {
  const findings: Finding[] = [];
  const filled = new Set<string>();
  const variables = new Map<string, string>();
  const within = (each: unknown, path: Path): unknown => {
    if (typeof each === "string") return text(each, path);
    if (Array.isArray(each)) return each.map((item, at) => within(item, [...path, at]));
    if (typeof each !== "object" || each === null) return each;
    return Object.fromEntries(Object.entries(each).map(([key, item]) => [key, within(item, [...path, key])]));
  };
  const text = (given: string, path: Path): string =>
    given.replace(REFERENCE, (whole: string, name: string | undefined) => {
      if (name === undefined) return "${";
      filled.add(placeKey(path));
      if (!NAME.test(name) || !whole.endsWith("}")) {
        // biome-ignore lint/suspicious/noTemplateCurlyInString: as it is to be written
        const message = "expected ${NAME}, NAME of letters, digits and _; for the characters ${ write $${";
        findings.push({ path, message });
        return "";
      }
      const found = environment[name];
      if (found !== undefined && found !== "") {
        variables.set(name, found);
        return found;
      }
      const what = found === undefined ? "not set" : "empty";
      findings.push({ path, message: `the environment variable ${name} is ${what}` });
      return "";
    });
  return { value: within(value, []), findings, filled, variables };
}

/**
 * Reads a file named in a configuration. Pipes are refused: files are reread, and opening a pipe waits for a writer,
 * whatever the signal.
 *
 * @throws Error for too long a file, a pipe or a device; as node:fs
 */
async function readNamed(file: string): Promise<Buffer> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const found = await handle.stat();
    if (!found.isFile() && !found.isDirectory()) throw new Error("it is a pipe or a device");
    if (found.size > MAX_FILE) throw new Error(`it has ${found.size} bytes; expected ${MAX_FILE} at most`);
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

/** Waits for the pipe's writer. */
async function readPipe(file: string): Promise<Buffer> {
  const bytes = await buffer(createReadStream(file, { end: MAX_FILE }));
  if (bytes.length > MAX_FILE) throw new Error(`it does not end; expected ${MAX_FILE} bytes at most`);
  return bytes;
}

export class ConfigurationError extends Error {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(problems.map(problemLine).join("\n"));
    this.problems = problems;
  }
}

/**
 * @param again for another reading: a pipe has nothing more, and would not end
 * @throws ConfigurationError
 */
export async function textOf(file: string, again = false): Promise<string> {
  try {
    const isPipe = !again && !(await stat(file)).isFile();
    return (await (isPipe ? readPipe(file) : readNamed(file))).toString();
  } catch (error) {
    const message = `cannot read the file: ${reasonOf(error)}`;
    throw new ConfigurationError([{ file, line: 1, column: 1, path: "", message }]);
  }
}

/** Findings about values without a missing variable, which is a finding already. */
export function otherThan(reported: readonly Finding[], findings: readonly Finding[]): readonly Finding[] {
  const places = new Set(reported.map(({ path }) => placeKey(path)));
  return findings.filter(({ path }) => !places.has(placeKey(path)));
}

export function childOf(value: unknown, part: string | number): unknown {
  return typeof value === "object" && value !== null
    ? (value as Record<string | number, unknown>)[part]
    : undefined;
}

/** Shows references in place of variables' values, and leaves out what may be a part of one. */
export function hider({ filled, variables }: Expanded): (finding: Finding) => Finding {
  // Replacing a value inside a longer one would show the rest of the longer one.
  const longestFirst = [...variables].sort(([, a], [, b]) => b.length - a.length);
  return (finding) => {
    let { message } = finding;
    for (const [name, held] of longestFirst) {
      if (held.length < MIN_SECRET) continue;
      for (const shown of [held, JSON.stringify(held).slice(1, -1)])
        message = message.replaceAll(shown, () => `\${${name}}`);
    }
    const place = placeKey(finding.path).slice(0, -1);
    if ([...filled].some((at) => at.startsWith(place)))
      message = message.replace(/; got .*/s, "").replace(/"(?:[^"\\]|\\.)*…"/g, '"…"');
    return { ...finding, message };
  };
}

/** The system's reason in words, without the path. */
export function reasonOf(error: unknown): string {
  switch ((error as NodeJS.ErrnoException).code) {
    case "ENOENT":
      return "it does not exist";
    case "EACCES":
      return "no permission";
    case "EISDIR":
      return "it is a folder";
    default:
      return error instanceof Error ? error.message : String(error);
  }
}

export class NamedFiles {
  readonly findings: Finding[];
  readonly #folder: string;

  /** @param folder of relative names @param findings gets those of the files */
  constructor(folder: string, findings: Finding[] = []) {
    this.#folder = folder;
    this.findings = findings;
  }

  resolve(name: string): string {
    return resolve(this.#folder, name);
  }

  found(path: Path, message: string): void {
    this.findings.push({ path, message });
  }

  /** The result of an action; its error is a finding, and the result `undefined`. */
  async attempt<T>(path: Path, action: () => T | Promise<T>): Promise<T | undefined> {
    try {
      return await action();
    } catch (error) {
      this.found(path, (error as Error).message);
      return undefined;
    }
  }

  /** Texts of PEM files, without unreadable ones. @param names of files by key */
  async pems<N extends "cert" | "key" | "ca">(
    path: Path,
    names: { readonly [K in N]?: string },
    keys: readonly N[],
  ): Promise<{ [K in N]?: string }> {
    const texts: { [K in N]?: string } = {};
    for (const key of keys) {
      const name = names[key];
      if (name === undefined) continue;
      const file = this.resolve(name);
      try {
        const text = (await readNamed(file)).toString("latin1");
        if (text.includes("-----BEGIN ")) texts[key] = text;
        else this.found([...path, key], `${file} is not in PEM`);
      } catch (error) {
        this.found([...path, key], `cannot read ${file}: ${reasonOf(error)}`);
      }
    }
    return texts;
  }
}
