/**
 * One side as a child process.
 *
 *     starting --ready--> ready --done--> done --end of input--> exited
 *         any state --exit, unreadable line, kill--> failed
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { SideCommand, SideDone, SideLine, SideReady } from "../contract.js";
import { measuredEnvironment } from "../environment.js";

/** Limits of the output that is kept to show it after a failure. */
const KEPT_LINES = 20;
const KEPT_LINE = 500;

/** A side failed; `output` is the last that it wrote. */
export class SideFailure extends Error {
  readonly output: readonly string[];

  constructor(message: string, output: readonly string[]) {
    super(message);
    this.output = output;
  }
}

/** Running process groups, which an early end of the program ends. */
const running = new Set<SideProcess>();

process.on("exit", () => {
  for (const side of running) side.kill();
});

export class SideProcess {
  readonly name: string;
  readonly ready: Promise<SideReady>;
  /** Settle halfway through its warm-up and when that is over; neither rejects. */
  readonly rehearsed: Promise<void>;
  readonly begun: Promise<void>;
  readonly done: Promise<SideDone>;
  /** Settles when the process has exited; never rejects. */
  readonly exited: Promise<void>;
  /** When its measured part ended as heard here; see `performance.now()`. */
  ended = 0;
  readonly #child: ChildProcess;
  readonly #output: string[] = [];
  #reported = false;
  #fail: (reason: string) => void = () => undefined;

  /** @param prefix of the command, such as `taskset -c 1` */
  constructor(name: string, command: SideCommand, prefix: readonly string[]) {
    this.name = name;
    const [file = "", ...args] = [...prefix, command.file, ...command.args];
    this.#child = spawn(file, args, {
      env: measuredEnvironment(command.env),
      stdio: ["pipe", "pipe", "pipe"],
      // A separate process group: Ctrl-C in the terminal reaches only the runner, and a side's children end with it.
      detached: true,
    });
    running.add(this);
    const ready = deferred<SideReady>();
    const rehearsed = deferred<void>();
    const begun = deferred<void>();
    const done = deferred<SideDone>();
    const exited = deferred<void>();
    this.ready = ready.promise;
    this.rehearsed = rehearsed.promise;
    this.begun = begun.promise;
    this.done = done.promise;
    this.exited = exited.promise;
    // One of them is awaited; the other must not be an unhandled rejection.
    this.ready.catch(() => undefined);
    this.done.catch(() => undefined);
    this.#fail = (reason) => {
      const failure = new SideFailure(`${name} ${reason}`, this.#output);
      ready.reject(failure);
      done.reject(failure);
    };
    const hear = (line: string) => {
      this.#keep(line);
      if (!line.startsWith("{")) return;
      try {
        const said = JSON.parse(line) as SideLine;
        if (said.type === "ready") ready.resolve(said);
        else if (said.type === "rehearsed") rehearsed.resolve();
        else if (said.type === "begun") begun.resolve();
        else if (said.type === "ended") this.ended = performance.now();
        else if (said.type === "done") {
          this.#reported = true;
          this.ended ||= performance.now(); // Sides of an older build say no `ended`.
          done.resolve(said);
        }
      } catch {
        this.#fail("sent a line that is not JSON");
      }
    };
    const { stdin, stdout, stderr } = this.#child;
    // The process may exit before it reads; its exit code shows that.
    stdin?.on("error", () => undefined);
    if (stdout) createInterface({ input: stdout }).on("line", hear);
    if (stderr) createInterface({ input: stderr }).on("line", (line) => this.#keep(line));
    this.#child.once("error", (error) => {
      this.#fail(`could not be started: ${error.message}`);
      running.delete(this);
      exited.resolve();
    });
    // `close` instead of `exit`: the last lines were read by then.
    this.#child.once("close", (code, signal) => {
      if (!this.#reported) {
        this.#fail(
          signal === null ? `ended with exit code ${code} before it was done` : `was ended by ${signal}`,
        );
      }
      running.delete(this);
      exited.resolve();
    });
  }

  get output(): readonly string[] {
    return this.#output;
  }

  say(line: "start" | "begin" | "stop"): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  /** Lets the side close its sockets and exit. */
  release(): void {
    this.#child.stdin?.end();
  }

  /** Kills the side and its children. */
  kill(): void {
    this.signal("SIGKILL");
  }

  /** Sends a signal to the side and its children. */
  signal(signal: "SIGKILL" | "SIGSTOP" | "SIGCONT"): void {
    const { pid } = this.#child;
    if (pid === undefined) return;
    try {
      process.kill(-pid, signal);
    } catch {
      // It has exited already.
    }
  }

  #keep(line: string): void {
    this.#output.push(line.length > KEPT_LINE ? `${line.slice(0, KEPT_LINE)}…` : line);
    if (this.#output.length > KEPT_LINES) this.#output.shift();
  }
}

/** A promise with its functions; `Promise.withResolvers` needs Node 22. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(reason: unknown): void;
}

export function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = () => undefined;
  let reject: (reason: unknown) => void = () => undefined;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
