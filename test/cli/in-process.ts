/**
 * Commands in the process of the test, each at a terminal of its own: for what a command reads, prints and refuses. What
 * is the process's (its exit, its signals, its pipes) is tested by the binary, in support.ts.
 */
import { EventEmitter } from "node:events";
import { PassThrough, Writable } from "node:stream";
import { expect, onTestFinished } from "vitest";
import { getCurrentTest } from "vitest/suite";
import { run as runCommand } from "../../src/cli/program.js";
import { type Ended, file, Watched } from "./support.js";

/** A command that runs, until its test has finished at the latest. */
export class Command extends Watched {
  readonly ended: Promise<Ended>;
  readonly #input: PassThrough | undefined;
  readonly #signals = new EventEmitter();

  /**
   * @param input what the test writes is its input; `undefined`: it has none
   * @param stalls its standard output has a reader that stops reading after the first piece
   */
  constructor(args: readonly string[], input: PassThrough | undefined, stalls = false) {
    super();
    this.#input = input;
    this.#input?.on("error", () => undefined); // The command may end before it read everything.
    let isRunning = true;
    const own = {
      stdin: input,
      stdout: writes((chunk) => this.onOut(chunk), stalls),
      stderr: writes((chunk) => this.onErr(chunk)),
      signals: this.#signals,
    };
    this.ended = runCommand(["node", "shoal", ...args], own).then((code) => {
      isRunning = false;
      this.onEnd();
      return { code, signal: null, stdout: this.stdout, stderr: this.stderr };
    });
    // While a file is read, a command ends by itself.
    if (getCurrentTest() === undefined) return;
    onTestFinished(async () => {
      if (!isRunning) return;
      // One: after a second, what it runs goes on behind its end, which in a process of its own ends it.
      this.signal("SIGTERM");
      await this.ended;
    });
  }

  write(text: string | Buffer): void {
    this.#input?.write(text);
  }

  end(text?: string | Buffer): this {
    this.#input?.end(text);
    return this;
  }

  signal(name: "SIGINT" | "SIGTERM" | "SIGHUP"): void {
    this.#signals.emit(name);
  }
}

function writes(on: (chunk: Buffer) => void, stalls = false): Writable {
  return new Writable({
    write(chunk: Buffer, _, done) {
      on(chunk);
      if (!stalls) done();
    },
  });
}

/** Starts a command whose input is written by the test. */
export function start(...args: string[]): Command {
  return new Command(args, new PassThrough());
}

/** Starts a command whose output nobody reads beyond its first piece. Its input is written by the test. */
export function startUnread(...args: string[]): Command {
  return new Command(args, new PassThrough(), true);
}

/** Starts a command without input. */
export function startWithout(...args: string[]): Command {
  return new Command(args, undefined);
}

/** Runs a command on an input, to its end. */
export function run(input: string | Buffer, ...args: string[]): Promise<Ended> {
  return start(...args).end(input).ended;
}

/** Runs a command that fails: one line says why, nothing is on standard output; -q where it may log before. @returns the line */
export async function fails(
  exitCode: number,
  why: RegExp | string,
  args: readonly string[],
  input: string | Buffer = "",
): Promise<string> {
  const { code, stdout, stderr } = await run(input, ...args);
  expect(stderr, args.join(" ")).toMatch(why);
  expect(stderr).toMatch(/^shoal[^\n]*: [^\n]+\n$/);
  expect([code, stdout.length]).toEqual([exitCode, 0]);
  return stderr;
}

/** A new pair of keys, in files. */
export async function keygen(): Promise<{
  readonly publicKey: string;
  readonly publicFile: string;
  readonly secretFile: string;
}> {
  return JSON.parse(String((await run("", "keygen", "--json", "--out", file())).stdout));
}
