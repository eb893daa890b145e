/** Two servers as programs that are killed with -9 and started again; each prints its state. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { createInterface } from "node:readline";

export const OTHER = { primary: "backup", backup: "primary" } as const;
export type StarRole = keyof typeof OTHER;

const PORT_TRIES = 50;
const FIRST_PORT = 10_240;
const LAST_PORT = 32_000;

/** Endpoints on currently free ports, since a server returns to its endpoint. */
export async function freeEndpoints(count: number): Promise<string[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const endpoints = servers.map((server) => `tcp://127.0.0.1:${(server.address() as { port: number }).port}`);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return endpoints;
}

/** Endpoint with the first of consecutive free ports. */
export async function freeRow(length: number): Promise<string> {
  for (let tries = PORT_TRIES; ; tries--) {
    const first = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT));
    const servers = Array.from({ length }, (_, i) => createServer().listen(first + i, "127.0.0.1"));
    const bound = await Promise.allSettled(servers.map((server) => once(server, "listening")));
    await Promise.all(
      servers.filter(({ listening }) => listening).map((server) => once(server.close(), "close")),
    );
    if (bound.every(({ status }) => status === "fulfilled")) return `tcp://127.0.0.1:${first}`;
    if (tries <= 1) throw new Error(`no ${length} ports in a row are free`);
  }
}

/** One server of the pair through its restarts. */
export class KilledServer {
  readonly #args: readonly string[];
  #child: ChildProcess | undefined;
  #killed = false;
  readonly #heard = new Map<string, () => void>();
  readonly #onExit = () => this.#child?.kill("SIGKILL");

  /** @param args of Node: the program, and its arguments */
  constructor(args: readonly string[]) {
    this.#args = args;
    process.on("exit", this.#onExit);
  }

  /** @returns when it has reached this state */
  async start(state: "active" | "passive"): Promise<void> {
    const child = spawn(process.execPath, this.#args, { stdio: ["pipe", "pipe", "inherit"] });
    this.#child = child;
    this.#killed = false;
    child.once("exit", (code) => {
      if (!this.#killed) throw new Error(`a server of the pair ended with exit code ${code}`);
    });
    const reached = this.reaches(state);
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (line === "fenced") throw new Error("both servers were active");
      this.#heard.get(line)?.();
    });
    await reached;
  }

  /** Settles when it prints this state the next time. */
  reaches(state: string): Promise<void> {
    return new Promise((resolve) => this.#heard.set(state, resolve));
  }

  async kill(): Promise<void> {
    const child = this.#child as ChildProcess;
    this.#killed = true;
    const exit = once(child, "exit");
    child.kill("SIGKILL");
    await exit;
  }
}
