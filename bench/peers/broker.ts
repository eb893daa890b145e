/** A broker's server, started on a free loopback port for the benchmark and ended with it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { packageFile, requirePackage } from "../places.js";
import { ask } from "./tools.js";

/** ms for a server to become ready, and to end. */
const START_LIMIT = 10_000;
const END_LIMIT = 3_000;

/** Running servers; one listener ends them all with this process. */
const running = new Set<ChildProcess>();

function killAll(): void {
  for (const child of running) child.kill("SIGKILL");
}

/** Why a broker cannot be measured here; `undefined` if it can. */
export async function brokerAbsent(server: string, client: string, get: string): Promise<string | undefined> {
  const missing: string[] = [];
  if ((await ask(server, ["--version"])).code !== 0) missing.push(`the program ${server}`);
  if (packageFile(client) === undefined) missing.push(`the npm package ${client}`);
  return missing.length === 0 ? undefined : `not here: ${missing.join(" and ")}; ${get}`;
}

export function packageVersion(name: string): string {
  return requirePackage<{ version: string }>(`${name}/package.json`).version;
}

export class Broker {
  readonly folder: string;
  readonly #child: ChildProcess;

  private constructor(folder: string, child: ChildProcess) {
    this.folder = folder;
    this.#child = child;
    if (running.size === 0) process.on("exit", killAll);
    running.add(child);
  }

  /**
   * Starts a server in a temporary folder, and waits for the line that shows that it is ready.
   *
   * @param args returns the server's arguments for the folder
   * @returns the broker, and the match of the ready line
   */
  static async start(
    file: string,
    args: (folder: string) => Promise<readonly string[]>,
    ready: RegExp,
  ): Promise<{ broker: Broker; match: RegExpMatchArray }> {
    const folder = await mkdtemp(join(tmpdir(), "shoal-bench-broker-"));
    const child = spawn(file, await args(folder), { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
    const broker = new Broker(folder, child);
    const said: string[] = [];
    let limit: NodeJS.Timeout | undefined;
    try {
      const match = await new Promise<RegExpMatchArray>((resolve, reject) => {
        const failed = (why: string) => reject(new Error(`${file} ${why}: ${said.slice(-5).join(" | ")}`));
        limit = setTimeout(() => failed("did not get ready"), START_LIMIT);
        child.once("error", reject);
        child.once("close", (code) => failed(`ended with ${code}`));
        for (const stream of [child.stdout, child.stderr]) {
          // Reading continues after that, so that the server never waits for a full pipe.
          createInterface({ input: stream as NonNullable<typeof stream> }).on("line", (line) => {
            said.push(line);
            if (said.length > 100) said.shift();
            const found = ready.exec(line);
            if (found !== null) resolve(found);
          });
        }
      });
      return { broker, match };
    } catch (error) {
      await broker.stop();
      throw error;
    } finally {
      clearTimeout(limit);
    }
  }

  async stop(): Promise<void> {
    if (this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null) {
      const limit = setTimeout(() => this.#child.kill("SIGKILL"), END_LIMIT);
      const closed = once(this.#child, "close");
      this.#child.kill("SIGTERM");
      await closed;
      clearTimeout(limit);
    }
    if (running.delete(this.#child) && running.size === 0) process.off("exit", killAll);
    await rm(this.folder, { recursive: true, force: true });
  }
}
