/** Programs as processes: started, heard and ended here. Small ones run against the built package, as a user's would. */
import { type ChildProcessWithoutNullStreams, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { StringDecoder } from "node:string_decoder";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { LONG } from "../support/long.js";

/** The package's folder: programs started in it can `import "shoal"` by name. */
export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** What package.json says of the entry points. */
export const { exports: EXPORTS } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
  readonly exports: Readonly<Record<string, { readonly default: string }>>;
};
/** As programs import them. Not those of a page: a build of its own, with classes of its own (test/browser). */
export const ENTRIES = Object.keys(EXPORTS)
  .filter((entry) => !/\.json$|^\.\/browser\b/.test(entry))
  .map((entry) => entry.replace(/^\./, "shoal"));

/** A file of dist, and what it imports before it runs. */
export function filesOf(file: string, files = new Set<string>()): ReadonlySet<string> {
  if (files.has(file)) return files;
  files.add(file);
  const imports = readFileSync(file, "utf8").matchAll(
    /^(?:import|export)\b(?:[^"();=]*\bfrom)?\s*"(\.[^"]+)"/gm,
  );
  for (const [, from] of imports) filesOf(join(dirname(file), from as string), files);
  return files;
}

/** How a process ended, and what it wrote. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** The same, with its output as text. */
export type Outcome = Omit<Ended, "stdout"> & { readonly stdout: string };

/** What a command has written so far, and the wait for more. */
export abstract class Watched {
  abstract readonly ended: Promise<Ended>;
  abstract signal(name: "SIGINT" | "SIGTERM" | "SIGHUP"): void;
  #out: Buffer[] = [];
  #err = "";
  /** Its output behind the lines that were read. */
  #unread = "";
  readonly #decoder = new StringDecoder();
  #onData = new Set<() => void>();
  #isOver = false;

  get stdout(): Buffer {
    return Buffer.concat(this.#out);
  }

  get stderr(): string {
    return this.#err;
  }

  get running(): boolean {
    return !this.#isOver;
  }

  /** Waits until what it wrote matches. */
  async until(stream: "stdout" | "stderr", pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(stream === "stdout" ? this.stdout.toString() : this.#err);
      if (match !== null) return match;
      if (this.#isOver) throw new Error(`ended without ${pattern}: ${this.stdout} ${this.#err}`);
      await this.#more();
    }
  }

  /** The next line of its output; fails when it ends first. */
  async line(): Promise<string> {
    for (;;) {
      const end = this.#unread.indexOf("\n");
      if (end >= 0) {
        const line = this.#unread.slice(0, end);
        this.#unread = this.#unread.slice(end + 1);
        return line;
      }
      if (this.#isOver) throw new Error(`The program ended without the line:\n${this.#err}`);
      await this.#more();
    }
  }

  /** Waits for a line that is exactly this. */
  async heard(expected: string): Promise<void> {
    for (;;) if ((await this.line()) === expected) return;
  }

  /** The endpoint it bound last. */
  async endpoint(): Promise<string> {
    return (await this.until("stderr", /listening at (\S+)\n/))[1] as string;
  }

  /** Ends it by SIGTERM, as a service manager does: the exit code has to be 0. */
  async stop(): Promise<Ended> {
    this.signal("SIGTERM");
    const ended = await this.ended;
    expect(ended.code).toBe(0);
    return ended;
  }

  /** Waits for its end: with exit code 0, and this on standard output. */
  async prints(text: string): Promise<void> {
    const { code, stdout } = await this.ended;
    expect([code, String(stdout)]).toEqual([0, text]);
  }

  /** Waits for its end: with exit code 1, and this on standard error. */
  async fails(why: RegExp | string): Promise<void> {
    const { code, stderr } = await this.ended;
    expect(stderr).toMatch(why);
    expect(code).toBe(1);
  }

  protected onOut(chunk: Buffer): void {
    this.#out.push(chunk);
    this.#unread += this.#decoder.write(chunk);
    this.#wake();
  }

  protected onErr(chunk: Buffer): void {
    this.#err += chunk;
    this.#wake();
  }

  protected onEnd(): void {
    this.#isOver = true;
    this.#wake();
  }

  #more(): Promise<void> {
    return new Promise((resolve) => void this.#onData.add(resolve));
  }

  #wake(): void {
    const waiting = [...this.#onData];
    this.#onData.clear();
    for (const wake of waiting) wake();
  }
}

/** A program that hangs is ended after this time, in ms. */
const HARD_LIMIT = LONG ? 1_200_000 : 35_000;
/** ms of a timer at most: for servers. */
export const FOREVER = 2_147_483_647;

export interface ChildOptions extends Pick<SpawnOptions, "cwd" | "uid" | "gid"> {
  readonly stdin?: "pipe" | "ignore";
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** ms until the program is killed. */
  readonly limit?: number;
  /** It leads a group of its own, with the processes that it starts. */
  readonly group?: boolean;
}

/** Those that run. */
export const running = new Set<Child>();

/** A program that runs as a process: its output as it comes, and how it ended. */
export class Child extends Watched {
  readonly process: ChildProcessWithoutNullStreams;
  readonly outcome: Promise<Outcome>;
  readonly ended: Promise<Ended>;
  readonly #group: boolean;

  constructor(command: string, args: readonly string[], options: ChildOptions = {}) {
    super();
    const { stdin = "pipe", env, limit = HARD_LIMIT, group = false, ...own } = options;
    this.process = spawn(command, args, {
      cwd: ROOT,
      ...own,
      env: { ...process.env, NODE_OPTIONS: "", SHOAL_ENGINE: "", ...env },
      stdio: [stdin, "pipe", "pipe"],
      detached: group,
    }) as ChildProcessWithoutNullStreams;
    this.#group = group;
    running.add(this);
    const timer = setTimeout(() => this.process.kill("SIGKILL"), limit);
    this.process.stdin?.on("error", () => undefined); // It may be gone already; its outcome shows it.
    this.process.stdout.on("data", (chunk: Buffer) => this.onOut(chunk));
    this.process.stderr.on("data", (chunk: Buffer) => this.onErr(chunk));
    this.ended = once(this.process, "close").then(([code, signal]) => {
      clearTimeout(timer);
      running.delete(this);
      this.onEnd();
      return { code, signal, stdout: this.stdout, stderr: this.stderr };
    });
    this.outcome = this.ended.then((ended) => ({ ...ended, stdout: String(ended.stdout) }));
  }

  get pid(): number {
    return this.process.pid as number;
  }

  tell(line: string): void {
    this.write(`${line}\n`);
  }

  write(text: string | Buffer): void {
    this.process.stdin.write(text);
  }

  end(text?: string | Buffer): this {
    this.process.stdin.end(text);
    return this;
  }

  signal(name: NodeJS.Signals): void {
    this.process.kill(name);
  }

  /** Ends it, with its group if it leads one, and waits until it is gone. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<Outcome> {
    if (this.#group) process.kill(-this.pid, signal);
    else this.process.kill(signal);
    return this.outcome;
  }
}

export interface ProgramOptions extends ChildOptions {
  readonly args?: readonly string[];
  /** Arguments of node itself. */
  readonly node?: readonly string[];
}

/** Starts a module given as text. An unhandled rejection ends it with an error. */
export function start(source: string, options: ProgramOptions = {}): Child {
  const node = ["--unhandled-rejections=strict", "--input-type=module", ...(options.node ?? [])];
  return new Child(process.execPath, [...node, "-e", source, ...(options.args ?? [])], options);
}

/** Runs a module given as text to its end. */
export function run(source: string, options: ProgramOptions = {}): Promise<Outcome> {
  return start(source, options).outcome;
}
