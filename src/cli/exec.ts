/** Runs a program for each request: the body's frames are its standard input, and its standard output is the reply. */
import { spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { AbortedError, ShoalError } from "../core/errors.js";

/** Bytes of output in a reply. */
const MAX_OUTPUT = 67_108_864;

/** Characters of standard error in an error. */
const MAX_QUOTED = 1_000;

/** Kill functions of running programs and their children. */
const running = new Set<() => void>();

/** On `process.exit`: detached process groups would survive this process. */
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

/**
 * Runs a command line of `/bin/sh`.
 *
 * @param signal kills the program and its children with SIGKILL
 * @returns its standard output
 * @throws ShoalError `ERR_SERVICE` for an exit status other than 0, with the end of standard error; AbortedError
 */
export function exec(command: string, body: readonly Uint8Array[], signal?: AbortSignal): Promise<Buffer> {
  if (signal?.aborted === true) return Promise.reject(new AbortedError(signal.reason));
  return new Promise((resolve, reject) => {
    // A separate process group, so that children die with the shell.
    const child = spawn(command, { shell: "/bin/sh", detached: true });
    const kill = (): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      } catch {
        // Already gone.
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
    // Without free file descriptors the pipes are missing; "error" and "close" are still emitted.
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
    // The program may not read its input.
    child.stdin.on("error", () => undefined);
    // An unreadable pipe ends; "close" reports the rest.
    for (const stream of [child.stdout, child.stderr]) stream.on("error", () => undefined);
    for (const frame of body) child.stdin.write(frame);
    child.stdin.end();
  });
}

class ExecError extends ShoalError {
  /** Clients get the message. */
  readonly expose = true;

  constructor(text: string) {
    super("ERR_SERVICE", text);
  }
}
