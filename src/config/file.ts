/** Reads configuration files, and keeps secrets out of messages. */
import { constants, createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { buffer } from "node:stream/consumers";
import { type Expanded, placeKey } from "./environment.js";
import { type Finding, type Problem, problemLine } from "./problem.js";

/** Bytes of a configuration, and of a named file. */
const MAX_FILE = 1_048_576;
/** Shortest variable's value that is searched for in messages. */
const MIN_SECRET = 3;

/**
 * Reads a file named in a configuration. Pipes are refused: files are reread, and opening a pipe waits for a writer,
 * whatever the signal.
 *
 * @returns one character per byte
 * @throws Error for too long a file, a pipe or a device; as node:fs
 */
export async function readNamed(file: string): Promise<string> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const found = await handle.stat();
    if (!found.isFile() && !found.isDirectory()) throw new Error("it is a pipe or a device");
    if (found.size > MAX_FILE) throw new Error(`it has ${found.size} bytes; expected ${MAX_FILE} at most`);
    return await handle.readFile("latin1");
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
    if (!again && !(await stat(file)).isFile()) return (await readPipe(file)).toString();
    return Buffer.from(await readNamed(file), "latin1").toString();
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
