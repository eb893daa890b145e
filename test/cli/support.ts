/** The real binary as child processes: started, heard and ended here. */
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, vi } from "vitest";
import { Child, type Ended, ROOT, running, type Watched } from "../process/child.js";
import { sharedFolder } from "../support/folders.js";
import { LONG } from "../support/long.js";

export { Child, type Ended, ROOT, Watched } from "../process/child.js";

export const MAIN = join(ROOT, "dist/cli/main.js");
const SOURCES = join(ROOT, "src/cli");

/** The objects of lines of JSON, of which none is empty. */
// biome-ignore lint/suspicious/noExplicitAny: what a command prints
export function jsonOf(lines: string | Buffer): any[] {
  return Array.from(String(lines).matchAll(/[^\n]*\n|[^\n]+$/g), ([line]) => JSON.parse(line));
}

/** ms, as long as the longest test of commands may take. */
const limit = LONG ? 1_200_000 : 60_000;

/** Starts `shoal`; standard input is an open pipe. */
export function start(...args: string[]): Child {
  return new Child(process.execPath, [MAIN, ...args], { limit });
}

/** Starts `shoal` without input, as a job in the background. */
export function startWithout(...args: string[]): Child {
  return new Child(process.execPath, [MAIN, ...args], { stdin: "ignore", limit });
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
    for (const child of running) await child.kill();
  });
}
