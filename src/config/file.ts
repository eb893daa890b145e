/** A configuration's file: its text, its faults as one error, and messages that repeat no secret. */
import { constants } from "node:fs";
import { open, stat } from "node:fs/promises";
import { type Expanded, placeKey } from "./environment.js";
import { type Finding, type Problem, problemLine } from "./problem.js";

/** Bytes of the largest configuration. */
const MAX_FILE = 1_048_576;
/** Characters from which on what a variable held is looked for in messages. */
const MIN_SECRET = 3;
/** Characters of a longer value that appear in no message in a row: a message may show a part of a text, or its beginning. */
const MIN_PART = 8;

/** Bytes of the largest file that a configuration names. */
const MAX_NAMED_FILE = 1_048_576;

/**
 * Reads a file that a configuration names. It is read again and again, so it is no pipe: the open of one would wait for a
 * writer, past every signal.
 *
 * @returns the text, one character a byte
 * @throws Error for one that is too long, a pipe or a device; as node:fs does
 */
export async function readNamed(file: string): Promise<string> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const found = await handle.stat();
    if (!found.isFile() && !found.isDirectory()) throw new Error("it is a pipe or a device");
    if (found.size > MAX_NAMED_FILE)
      throw new Error(`it has ${found.size} bytes; expected ${MAX_NAMED_FILE} at most`);
    return await handle.readFile("latin1");
  } finally {
    await handle.close();
  }
}

/** A configuration that cannot be used: its faults, with their places. */
export class ConfigurationError extends Error {
  readonly problems: readonly Problem[];
  /** Whole paths of the files that it names. */
  readonly files: readonly string[];

  constructor(problems: readonly Problem[], files: readonly string[] = []) {
    super(problems.map(problemLine).join("\n"));
    this.problems = problems;
    this.files = files;
  }
}

/**
 * @param again it was read before: a pipe has nothing more, and would not end
 * @throws ConfigurationError when it cannot be read
 */
export async function textOf(file: string, again = false): Promise<string> {
  const fault = (message: string): never => {
    throw new ConfigurationError([{ file, line: 1, column: 1, path: "", message }]);
  };
  try {
    // The open of a pipe waits for a writer, unless it is asked not to; what a name stands for may change at any time.
    const waits = !again && (await stat(file)).isFIFO();
    const handle = await open(file, waits ? constants.O_RDONLY : constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const found = await handle.stat();
      const { size } = found;
      if (again && !found.isFile() && !found.isDirectory())
        return fault("cannot read the file again: it is a pipe or a device");
      if (size > MAX_FILE) return fault(`expected ${MAX_FILE} bytes at most; it has ${size}`);
      return await handle.readFile("utf8");
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof ConfigurationError) throw error;
    return fault(`cannot read the file: ${reasonOf(error)}`);
  }
}

/** Those whose value is at fault by itself: where a variable is missing nothing else is reported. */
export function otherThan(reported: readonly Finding[], findings: readonly Finding[]): readonly Finding[] {
  const places = new Set(reported.map(({ path }) => placeKey(path)));
  return findings.filter(({ path }) => !places.has(placeKey(path)));
}

/** What is at a part of a value's path; `undefined`: nothing. */
export function childOf(value: unknown, part: string | number): unknown {
  return typeof value === "object" && value !== null
    ? (value as Record<string | number, unknown>)[part]
    : undefined;
}

/** What came from variables is shown as it is written. */
export function hider({ variables }: Expanded): (finding: Finding) => Finding {
  return (finding) => {
    let { message } = finding;
    for (const [name, held] of variables) {
      if (held.length < MIN_SECRET) continue;
      message = withoutParts(message, held, `\${${name}}`);
      const escaped = JSON.stringify(held).slice(1, -1);
      if (escaped !== held) message = withoutParts(message, escaped, `\${${name}}`);
    }
    return { ...finding, message };
  };
}

/** A message with the name of a variable in place of its value, and `…` in place of a part of that. */
function withoutParts(message: string, held: string, name: string): string {
  const least = Math.min(held.length, MIN_PART);
  let shown = "";
  for (let at = 0; at < message.length; ) {
    let end = at + least;
    if (end > message.length || !held.includes(message.slice(at, end))) {
      shown += message[at++];
      continue;
    }
    while (end < message.length && held.includes(message.slice(at, end + 1))) end += 1;
    shown += end - at === held.length ? name : "…";
    at = end;
  }
  return shown;
}

/** The system's error in words, without the path. */
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
