/** Answers by `--echo` and `--exec`, which runs a program for each request, and calls of a service. */

import { spawn } from "node:child_process";
import type { Readable } from "node:stream";
import type { Command } from "commander";
import { AbortedError, ShoalError } from "../core/errors.js";
import { ServiceError } from "../kit/errors.js";
import { Failure, InputError, UsageError, waitFailed } from "./failure.js";
import { type FormatChoice, formatFor } from "./format.js";
import { Input } from "./input.js";
import { printing } from "./output.js";

/** Requests in flight; replies are printed in order. */
const PIPELINE = 100;
/** Bytes of output in a reply. */
const MAX_OUTPUT = 67_108_864;
/** Characters of standard error in an error. */
const MAX_QUOTED = 1_000;

export interface AnswerSettings {
  readonly echo?: boolean;
  readonly exec?: string;
}

/** {@link answerer} requires one of them. */
export function addAnswerOptions(command: Command): Command {
  return command
    .option("--echo", "reply with the request")
    .option("--exec <CMD>", "run CMD for each request: its input is the request, its output the reply");
}

export type Answer = (
  request: Buffer[],
  context: { readonly signal: AbortSignal },
) => Buffer[] | Promise<Buffer>;

/** An echo, or a program per request. @throws UsageError unless one of the two is chosen */
export function answerer({ echo, exec: command }: AnswerSettings): Answer {
  if ((echo === true) === (command !== undefined)) throw new UsageError("expected --echo or --exec CMD");
  if (command === undefined) return (request) => request;
  return (request, { signal }) => exec(command, request, signal);
}

export interface Calls {
  /** Frames of one request. Empty: each message of standard input is a request. */
  readonly body: readonly string[];
  readonly settings: FormatChoice & { readonly count?: number };
  request(frames: Buffer[], signal: AbortSignal): Promise<Buffer[]>;
}

/** Sends requests and prints replies. @throws UsageError, Failure, InputError; errors of `request` */
export async function runCalls({ body, settings, request }: Calls): Promise<void> {
  const { json, count = Number.POSITIVE_INFINITY } = settings;
  const format = formatFor(settings);
  await printing(format, async (output, stop) => {
    // A failed reply ends an input that may be idle for hours.
    const failed = new AbortController();
    const input = new Input(format, json === true, AbortSignal.any([stop.requested, failed.signal]));
    let last: Promise<void> | undefined;
    const printReply = (frames: Buffer[]): Promise<void> => {
      const printed = Promise.all([request(frames, stop.forced), last]).then(([reply]) =>
        output.print([reply]),
      );
      printed.catch(() => failed.abort()); // It is awaited later, and thrown in its turn.
      last = printed;
      return printed;
    };
    if (body.length > 0) {
      await printReply(body.map((frame) => Buffer.from(frame)));
      return;
    }
    const prints: Promise<void>[] = [];
    let taken = 0;
    let fault: InputError | undefined;
    try {
      for await (const frames of input.messages()) {
        prints.push(printReply(frames));
        if (prints.length >= PIPELINE) await prints.shift();
        if (++taken >= count || output.gone) break;
      }
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      fault = error;
    }
    for (const printed of prints) await printed;
    if (fault !== undefined) throw fault;
  });
}

/** A failed call in the user's words. @param timeout ms */
export function callFailure(error: unknown, timeout: number): unknown {
  if (error instanceof ServiceError) return new Failure(`${error.message} (${error.reason})`);
  return waitFailed(error, `no reply came within ${timeout} ms`, "stopped before every reply came");
}

/** Kill functions of running programs and their children, whose process groups would survive `process.exit`. */
const running = new Set<() => void>();

export function endPrograms(): void {
  for (const kill of running) kill();
}

process.on("exit", endPrograms);

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
    running.add(kill);
    child.on("error", (error) => {
      failure = error.message;
    });
    child.on("close", (status, killedBy) => {
      signal?.removeEventListener("abort", kill);
      running.delete(kill);
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
