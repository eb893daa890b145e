/** Answers by `--echo` and `--exec`, and calls of a service. */
import type { Command } from "commander";
import { ServiceError } from "../kit/errors.js";
import { exec } from "./exec.js";
import { Failure, InputError, UsageError, waitFailed } from "./failure.js";
import { type FormatChoice, formatFor } from "./format.js";
import { Input } from "./input.js";
import { printing } from "./output.js";

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

/** Requests in flight; replies are printed in order. */
const PIPELINE = 100;

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
