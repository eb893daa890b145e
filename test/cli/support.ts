/** The real binary as child processes: started, heard and ended here. */
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from "node:child_process";
import { chmodSync, existsSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, expect, vi } from "vitest";
import { sharedFolder } from "../support/folders.js";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));
export const MAIN = join(ROOT, "dist/cli/main.js");
const SOURCES = join(ROOT, "src/cli");

/** How a process ended, and what it wrote. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** What a command has written so far, and the wait for more. */
export abstract class Watched {
  abstract readonly ended: Promise<Ended>;
  abstract signal(name: "SIGINT" | "SIGTERM" | "SIGHUP"): void;
  #out: Buffer[] = [];
  #err = "";
  #onData = new Set<() => void>();
  #isOver = false;

  get stdout(): Buffer {
    return Buffer.concat(this.#out);
  }

  get stderr(): string {
    return this.#err;
  }

  /** Waits until what it wrote matches. */
  async until(stream: "stdout" | "stderr", pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(stream === "stdout" ? this.stdout.toString() : this.#err);
      if (match !== null) return match;
      if (this.#isOver) throw new Error(`ended without ${pattern}: ${this.stdout} ${this.#err}`);
      await new Promise<void>((resolve) => {
        this.#onData.add(resolve);
      });
    }
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

  #wake(): void {
    const waiting = [...this.#onData];
    this.#onData.clear();
    for (const wake of waiting) wake();
  }
}

const running = new Set<Child>();

/** A process that is running. */
export class Child extends Watched {
  readonly process: ChildProcessWithoutNullStreams;
  readonly ended: Promise<Ended>;
  readonly #group: boolean;

  constructor(
    program: string,
    args: readonly string[],
    options: { stdin?: "pipe" | "ignore"; cwd?: string; env?: NodeJS.ProcessEnv; group?: boolean },
  ) {
    super();
    this.process = spawn(program, args, {
      stdio: [options.stdin ?? "pipe", "pipe", "pipe"],
      detached: options.group === true,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.env === undefined ? {} : { env: options.env }),
    }) as ChildProcessWithoutNullStreams;
    this.#group = options.group === true;
    running.add(this);
    this.process.stdin?.on("error", () => undefined); // A child may end before it read everything.
    this.process.stdout.on("data", (chunk: Buffer) => this.onOut(chunk));
    this.process.stderr.on("data", (chunk: Buffer) => this.onErr(chunk));
    this.ended = new Promise((resolve) => {
      this.process.on("close", (code) => {
        running.delete(this);
        this.onEnd();
        resolve({ code, stdout: this.stdout, stderr: this.stderr });
      });
    });
  }

  write(text: string | Buffer): void {
    this.process.stdin.write(text);
  }

  end(text?: string | Buffer): this {
    this.process.stdin.end(text);
    return this;
  }

  signal(name: "SIGINT" | "SIGTERM" | "SIGHUP" | "SIGKILL"): void {
    this.process.kill(name);
  }

  /** Ends it now, with the processes it started if it leads a group. */
  kill(): void {
    const { pid } = this.process;
    if (pid === undefined) return;
    if (this.#group) process.kill(-pid, "SIGKILL");
    else this.process.kill("SIGKILL");
  }
}

/** The objects of lines of JSON, of which none is empty. */
// biome-ignore lint/suspicious/noExplicitAny: what a command prints
export function jsonOf(lines: string | Buffer): any[] {
  return Array.from(String(lines).matchAll(/[^\n]*\n|[^\n]+$/g), ([line]) => JSON.parse(line));
}

/** Starts `shoal`; standard input is an open pipe. */
export function start(...args: string[]): Child {
  return new Child(process.execPath, [MAIN, ...args], {});
}

/** Starts `shoal` without input, as a job in the background. */
export function startWithout(...args: string[]): Child {
  return new Child(process.execPath, [MAIN, ...args], { stdin: "ignore" });
}

/** Where a command answers /metrics, without the path. */
export async function metricsOf(child: Watched): Promise<string> {
  return (await child.until("stderr", /metrics at (http:\S+)\/metrics\n/))[1] as string;
}

/**
 * Starts a streamer with metrics, at endpoints that the system chooses. @param metrics HOST:PORT
 * @returns with the metrics' URL without a path, and what has the endpoint of a socket
 */
export async function startStreamer<W extends Watched>(
  start: (...args: string[]) => W,
  more: readonly string[] = [],
  metrics = "127.0.0.1:0",
) {
  const any = "tcp://127.0.0.1:*";
  const ends = ["--frontend", any, "--backend", any, "--metrics", metrics];
  const proxy = start("proxy", "streamer", ...ends, ...more);
  const at = async (name: string): Promise<string> =>
    (await proxy.until("stderr", new RegExp(`${name} listening at (\\S+)\\n`)))[1] as string;
  return { proxy, url: await metricsOf(proxy), at };
}

/** Runs `shoal` on an input, to its end. */
export function run(input: string | Buffer, ...args: string[]): Promise<Ended> {
  return start(...args).end(input).ended;
}

/** An ipc endpoint nobody has. */
export function ipc(): string {
  return `ipc://${join(folder, `s${++names}`)}`;
}

/** A file name nobody has. */
export function file(): string {
  return join(folder, `f${++names}`);
}

/** A file that its owner alone may read, unless a mode is given. */
export function written(text: string | Buffer, mode = 0o600): string {
  const path = file();
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

let names = 0;
let folder = "";

function newest(path: string): number {
  return Math.max(...readdirSync(path).map((name) => statSync(join(path, name)).mtimeMs));
}

/** A folder for {@link ipc} and {@link file}: called once in a test file without processes. */
export function useFolder(): void {
  folder = sharedFolder();
}

/** Each test's nodes have their control sockets in a folder of their own. Called once in a test file, behind {@link useFolder}. */
export function useRuntimeFolder(): void {
  beforeEach(() => void vi.stubEnv("SHOAL_RUNTIME_DIR", file()));
  afterAll(() => void vi.unstubAllEnvs());
}

/**
 * Called once in a test file with processes: a build if there is none, a folder, and nothing left running.
 *
 * @param atEnd when processes are ended that still run; `afterAll` where tests run at the same time
 */
export function useShoal(atEnd: (end: () => Promise<void>) => void = afterEach): void {
  useFolder();
  beforeAll(() => {
    if (!existsSync(MAIN) || statSync(MAIN).mtimeMs < newest(SOURCES)) {
      execFileSync("npm", ["run", "build:library"], { cwd: ROOT, stdio: "ignore" });
    }
  }, 120_000);
  atEnd(async () => {
    for (const child of running) {
      child.kill();
      await child.ended;
    }
  });
}
