/**
 * Runs a program for each request, so that anything becomes a service: the body on
 * its standard input (frames one after the other), its standard output is the reply.
 */
import { spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { AbortedError, ShoalError } from "../../core/errors.js";

/** Bytes of a program's output that become a reply. */
const MAX_OUTPUT = 67_108_864;

/** Characters of standard error that an error quotes. */
const MAX_QUOTED = 1_000;

/** Ends the programs that run, each with all that it started. */
const running = new Set<() => void>();

/** This process ends by `process.exit`: their groups are not its own, and would go on. */
function endAll(): void {
  for (const kill of running) kill();
}

function began(kill: () => void): void {
  if (running.size === 0) process.on("exit", endAll);
  running.add(kill);
}

function ended(kill: () => void): void {
  if (running.delete(kill) && running.size === 0) process.off("exit", endAll);
}

/** What a program is run with. */
export interface ExecOptions {
  /** Ends the program with SIGKILL, and all that it started. */
  readonly signal?: AbortSignal | undefined;
  /** Set in addition to the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * @param command a command line for `/bin/sh`
 * @returns what it wrote
 * @throws ShoalError `ERR_SERVICE` when its exit status is not 0, with its last words; AbortedError `ABORT_ERR`
 */
export function exec(
  command: string,
  body: readonly Uint8Array[],
  options: ExecOptions = {},
): Promise<Buffer> {
  const { signal, env } = options;
  if (signal?.aborted === true) return Promise.reject(new AbortedError(signal.reason));
  return new Promise((resolve, reject) => {
    // A group of its own: what the shell started ends with it.
    const child = spawn(command, { shell: "/bin/sh", detached: true, env: { ...process.env, ...env } });
    const kill = (): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      } catch {
        // It is gone already.
      }
    };
    const output: Buffer[] = [];
    let bytes = 0;
    let words = "";
    let failure: string | undefined;
    signal?.addEventListener("abort", kill, { once: true });
    began(kill);
    child.on("error", (error) => {
      failure = error.message;
    });
    child.on("close", (status, killedBy) => {
      signal?.removeEventListener("abort", kill);
      ended(kill);
      if (signal?.aborted === true) reject(new AbortedError(signal.reason));
      else if (status === 0 && failure === undefined) resolve(Buffer.concat(output));
      else {
        const how = failure ?? (status === null ? `ended by ${killedBy}` : `exit status ${status}`);
        const said = words.trim();
        reject(new ExecError(said === "" ? how : `${how}: ${said}`));
      }
    });
    // Without a file descriptor left there are no pipes, and "error" and "close" come all the same.
    if ((child.stdout as Readable | undefined) === undefined) return;
    child.stdout.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= MAX_OUTPUT) output.push(chunk);
      else if (failure === undefined) {
        failure = `its output is longer than ${MAX_OUTPUT} bytes`;
        kill();
      }
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      words = (words + text).slice(-MAX_QUOTED);
    });
    // A program need not read its input.
    child.stdin.on("error", () => undefined);
    // A pipe that cannot be read ends; "close" reports the rest.
    for (const stream of [child.stdout, child.stderr]) stream.on("error", () => undefined);
    for (const frame of body) child.stdin.write(frame);
    child.stdin.end();
  });
}

class ExecError extends ShoalError {
  constructor(text: string) {
    super("ERR_SERVICE", text);
  }
}
