/**
 * One side as a child process: its lines, its last words, its end.
 *
 *     starting --ready--> ready --done--> done --end of input--> exited
 *         any state --exit, unreadable line, kill--> failed
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { SideCommand, SideDone, SideReady } from "../contract.js";
import { measuredEnvironment } from "../environment.js";

/** What is kept of the output of a side, to show when it fails. */
const KEPT_LINES = 20;
const KEPT_LINE = 500;

/** A side did not do what it should; `output` is the last it wrote. */
export class SideFailure extends Error {
  readonly output: readonly string[];

  constructor(message: string, output: readonly string[]) {
    super(message);
    this.output = output;
  }
}

/** Process groups that are running: ending the program early ends them. */
const running = new Set<SideProcess>();

/** Kills what still runs; for the end of the program. */
export function killAll(): void {
  for (const side of running) side.kill();
}
process.on("exit", killAll);

export class SideProcess {
  readonly name: string;
  readonly ready: Promise<SideReady>;
  readonly done: Promise<SideDone>;
  /** Settled when the process is gone; never rejected. */
  readonly exited: Promise<void>;
  readonly #child: ChildProcess;
  readonly #output: string[] = [];
  #reported = false;
  #fail: (reason: string) => void = () => undefined;

  /** @param prefix put before the command: `taskset -c 1` */
  constructor(name: string, command: SideCommand, prefix: readonly string[]) {
    this.name = name;
    const [file = "", ...args] = [...prefix, command.file, ...command.args];
    this.#child = spawn(file, args, {
      env: measuredEnvironment(command.env),
      stdio: ["pipe", "pipe", "pipe"],
      // A group of its own: Ctrl-C in the terminal comes to the runner alone, and children of a side end with it.
      detached: true,
    });
    running.add(this);
    const ready = deferred<SideReady>();
    const done = deferred<SideDone>();
    const exited = deferred<void>();
    this.ready = ready.promise;
    this.done = done.promise;
    this.exited = exited.promise;
    // Who waits for one of them hears; the other is no unhandled rejection.
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
        const said = JSON.parse(line) as SideReady | SideDone;
        if (said.type === "ready") ready.resolve(said);
        else if (said.type === "done") {
          this.#reported = true;
          done.resolve(said);
        }
      } catch {
        this.#fail("sent a line that is not JSON");
      }
    };
    const { stdin, stdout, stderr } = this.#child;
    // It may be gone before what we say arrives; its exit shows it.
    stdin?.on("error", () => undefined);
    if (stdout) createInterface({ input: stdout }).on("line", hear);
    if (stderr) createInterface({ input: stderr }).on("line", (line) => this.#keep(line));
    this.#child.once("error", (error) => {
      this.#fail(`could not be started: ${error.message}`);
      running.delete(this);
      exited.resolve();
    });
    // `close`, not `exit`: the last lines have been read.
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

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get output(): readonly string[] {
    return this.#output;
  }

  say(line: "start" | "stop"): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  /** Lets it go: it closes its sockets and exits. */
  release(): void {
    this.#child.stdin?.end();
  }

  /** Ends it and its children now. */
  kill(): void {
    const { pid } = this.#child;
    if (pid === undefined) return;
    try {
      process.kill(-pid, "SIGKILL");
    } catch {
      // Gone already.
    }
  }

  #keep(line: string): void {
    this.#output.push(line.length > KEPT_LINE ? `${line.slice(0, KEPT_LINE)}…` : line);
    if (this.#output.length > KEPT_LINES) this.#output.shift();
  }
}

/** A promise with its handles; `Promise.withResolvers` comes with Node 22. */
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
