/** Runs small programs against the built package, as a user's program would. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

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

/** A program that hangs is ended after this time, in ms. */
const HARD_LIMIT = 35_000;

export interface ChildOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  /** Arguments of node itself. */
  readonly node?: readonly string[];
  /** ms until the program is killed. */
  readonly limit?: number;
}

export interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program that runs: its lines as they come, and how it ended. */
export class Child {
  readonly process: ChildProcess;
  readonly outcome: Promise<Outcome>;
  readonly #lines: string[] = [];
  readonly #readers: ((line: string | undefined) => void)[] = [];
  #stdout = "";
  #stderr = "";
  #over = false;

  constructor(command: string, args: readonly string[], options: ChildOptions = {}) {
    const child = spawn(command, args, {
      cwd: options.cwd ?? ROOT,
      env: { ...process.env, NODE_OPTIONS: "", SHOAL_ENGINE: "", ...options.env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.process = child;
    const limit = setTimeout(() => child.kill("SIGKILL"), options.limit ?? HARD_LIMIT);
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr += text;
    });
    if (child.stdout !== null) {
      createInterface({ input: child.stdout }).on("line", (line) => {
        this.#stdout += `${line}\n`;
        const reader = this.#readers.shift();
        if (reader === undefined) this.#lines.push(line);
        else reader(line);
      });
    }
    child.stdin?.on("error", () => undefined); // It may be gone already; its outcome shows it.
    this.outcome = once(child, "close").then(([code, signal]) => {
      clearTimeout(limit);
      this.#over = true;
      for (const reader of this.#readers.splice(0)) reader(undefined);
      return { code, signal, stdout: this.#stdout, stderr: this.#stderr };
    });
  }

  get pid(): number {
    return this.process.pid as number;
  }

  get running(): boolean {
    return !this.#over;
  }

  /** The next line of its output; fails when it ends first. */
  async line(): Promise<string> {
    const waiting = this.#lines.shift();
    if (waiting !== undefined) return waiting;
    const line = this.#over
      ? undefined
      : await new Promise<string | undefined>((resolve) => {
          this.#readers.push(resolve);
        });
    if (line === undefined) throw new Error(`The program ended without the line:\n${this.#stderr}`);
    return line;
  }

  /** Waits for a line that is exactly this. */
  async heard(expected: string): Promise<void> {
    for (;;) if ((await this.line()) === expected) return;
  }

  tell(line: string): void {
    this.process.stdin?.write(`${line}\n`);
  }

  /** Ends it and waits until it is gone. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<Outcome> {
    this.process.kill(signal);
    return this.outcome;
  }
}

/** Starts a module given as text. An unhandled rejection ends it with an error. */
export function start(source: string, options: ChildOptions = {}): Child {
  const node = ["--unhandled-rejections=strict", "--input-type=module", ...(options.node ?? [])];
  return new Child(process.execPath, [...node, "-e", source, ...(options.args ?? [])], options);
}

/** Runs a module given as text to its end. */
export function run(source: string, options: ChildOptions = {}): Promise<Outcome> {
  return start(source, options).outcome;
}
