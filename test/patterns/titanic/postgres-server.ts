/** Debian's PostgreSQL, in a folder and on a port of its own. */
import { execFileSync } from "node:child_process";
import { chownSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { within } from "../../contract/support/wait.js";
import { Child, FOREVER } from "../../process/child.js";
import { peerAt } from "../../support/peers.js";
import { freePort } from "../../support/ports.js";

/** ms until the server is taken for one that does not come up. */
const LIMIT = 15_000;

function postgresUser(): { uid: number; gid: number } | undefined {
  try {
    const id = (flag: string): number => Number(execFileSync("id", [flag, "postgres"], { stdio: "pipe" }));
    return { uid: id("-u"), gid: id("-g") };
  } catch {
    return undefined;
  }
}

/** A server that runs until `stop`. */
export class PostgresServer {
  readonly #directory: string;
  readonly #bin: string;
  readonly #user: { uid: number; gid: number } | undefined;
  #process: Child | undefined;
  readonly port: number;

  private constructor(bin: string, port: number) {
    this.#bin = bin;
    this.port = port;
    this.#user = process.getuid?.() === 0 ? postgresUser() : undefined;
    this.#directory = mkdtempSync(join(tmpdir(), "shoal-postgres-"));
    if (this.#user !== undefined) chownSync(this.#directory, this.#user.uid, this.#user.gid);
  }

  static async start(): Promise<PostgresServer> {
    const bin = peerAt("postgresql");
    const server = new PostgresServer(bin, await freePort());
    const { uid, gid } = server.#user ?? {};
    execFileSync(
      join(bin, "initdb"),
      ["-D", join(server.#directory, "data"), "-U", "shoal", "--auth=trust", "--no-locale", "-E", "UTF8"],
      { cwd: server.#directory, stdio: "pipe", ...(uid === undefined ? {} : { uid, gid }) },
    );
    await server.run();
    return server;
  }

  get connectionString(): string {
    return `postgres://shoal@127.0.0.1:${this.port}/postgres`;
  }

  /** Starts it, the first time or after `kill`; settles when it takes connections. */
  async run(): Promise<void> {
    const cwd = this.#directory;
    const args = ["-D", join(cwd, "data"), "-p", String(this.port), "-h", "127.0.0.1", "-k", cwd];
    const options = { stdin: "ignore", cwd, limit: FOREVER, ...this.#user } as const;
    this.#process = new Child(join(this.#bin, "postgres"), args, options);
    await within(this.#process.until("stderr", /ready to accept connections/), "PostgreSQL", LIMIT);
  }

  /** Ends it: at once, as a crash does, with SIGQUIT. */
  async kill(signal: NodeJS.Signals = "SIGQUIT"): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    await child?.kill(signal);
  }

  /**
   * Sends a signal to all of its processes, the first one first: with SIGSTOP connections stay and nothing answers, until SIGCONT.
   * After SIGKILL it settles when they are gone, and `run` starts it again.
   */
  async signal(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    if (child === undefined) throw new Error("PostgreSQL does not run");
    if (signal !== "SIGKILL") {
      child.signal(signal);
      for (const pid of childrenOf(child.pid)) kill(pid, signal);
      return;
    }
    // Those it has forked are its own until it ends: afterwards nobody knows them.
    child.signal("SIGSTOP");
    const others = childrenOf(child.pid);
    const gone = this.kill("SIGKILL");
    for (const pid of others) kill(pid, "SIGKILL");
    await gone;
    // They are no children of this process, which hears nothing of their end; while one is there, its memory is, and `run` is refused.
    while (others.some(isThere)) await new Promise(setImmediate);
  }

  async stop(): Promise<void> {
    await this.kill("SIGINT");
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  return text === "" ? [] : text.split(" ").map(Number);
}

/** One that has ended meanwhile needs none. */
function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Whether a process holds memory still: one that is gone but for its entry holds none. */
function isThere(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
