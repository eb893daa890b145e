/** A pair of servers whose serving half is killed with -9 again and again, and the client that asks them. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { BinaryStarClient } from "shoal/patterns";
import { Latencies } from "../histogram.js";
import type { Role, Roles } from "./index.js";

const PROGRAM = fileURLToPath(new URL("../star-server.js", import.meta.url));

const OTHER = { primary: "backup", backup: "primary" } as const;
type StarRole = keyof typeof OTHER;

/** Endpoints on ports that are free now: a server comes back to its own. */
async function freeEndpoints(count: number): Promise<string[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const endpoints = servers.map((server) => `tcp://127.0.0.1:${(server.address() as { port: number }).port}`);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return endpoints;
}

/** One server of the pair over its lives. */
class Server {
  readonly #args: readonly string[];
  #child: ChildProcess | undefined;
  #killed = false;
  readonly #heard = new Map<string, () => void>();
  readonly #onExit = () => this.#child?.kill("SIGKILL");

  constructor(args: readonly string[]) {
    this.#args = args;
    process.on("exit", this.#onExit);
  }

  /** @returns when it has come to this state */
  async start(state: "active" | "passive"): Promise<void> {
    const child = spawn(process.execPath, [PROGRAM, ...this.#args], { stdio: ["pipe", "pipe", "inherit"] });
    this.#child = child;
    this.#killed = false;
    child.once("exit", (code) => {
      if (!this.#killed) throw new Error(`a server of the pair ended with exit code ${code}`);
    });
    const reached = this.reaches(state);
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (line === "fatal") throw new Error("the two servers were both masters");
      this.#heard.get(line)?.();
    });
    await reached;
  }

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

const pair: Role = async (side) => {
  const heartbeat = side.number("heartbeat", 1_000);
  const [a, b, primaryEndpoint, backupEndpoint] = (await freeEndpoints(4)) as [
    string,
    string,
    string,
    string,
  ];
  const servers: Record<StarRole, Server> = {
    primary: new Server(["primary", a, b, primaryEndpoint, String(heartbeat)]),
    backup: new Server(["backup", b, a, backupEndpoint, String(heartbeat)]),
  };
  await Promise.all([servers.primary.start("active"), servers.backup.start("passive")]);
  // An attempt lasts longer than the patience of the server that stands by: it holds the request until it serves.
  const client = new BinaryStarClient({
    endpoints: [primaryEndpoint, backupEndpoint],
    timeout: 4 * heartbeat,
  });
  let asked = 0;
  const ask = async (): Promise<StarRole> => {
    const body = String(asked++);
    const [role, reply] = await client.request(body);
    if (String(reply) !== body) throw new Error(`the reply to ${body} is ${reply}`);
    return String(role) as StarRole;
  };
  let serving = await ask();
  await side.ready();
  const latencies = new Latencies();
  for (let round = 0; round < side.warmup + side.count; round++) {
    if (round === side.warmup) side.begin();
    // A kill comes at any time between two heartbeats: by the golden ratio, so that few rounds are spread evenly.
    const until = performance.now() + heartbeat * ((round * 0.618) % 1);
    while (performance.now() < until) await ask();
    const from = process.hrtime.bigint();
    const gone = servers[serving].kill();
    let next = serving;
    while (next === serving) next = await ask();
    if (round >= side.warmup) latencies.record(Number(process.hrtime.bigint() - from));
    await gone;
    await servers[serving].start("passive");
    serving = next;
  }
  side.end();
  await side.done({ messages: side.count, bytes: 0, ordered: true, latency: latencies.table });
  await client.close();
  await Promise.all([servers.primary.kill(), servers.backup.kill()]);
};

export const roles: Roles = { pair };
