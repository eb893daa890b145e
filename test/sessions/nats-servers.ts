/** Debian's nats-server with JetStream, one or several as a cluster, in folders and on ports of their own. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts } from "../support/ports.js";

/** ms until a server is taken for one that does not come up. */
const LIMIT = 15_000;

class NatsServer {
  readonly name: string;
  readonly port: number;
  readonly #configuration: string;
  #process: ChildProcess | undefined;

  constructor(folder: string, name: string, port: number, more: string) {
    this.name = name;
    this.port = port;
    this.#configuration = join(folder, `${name}.conf`);
    writeFileSync(
      this.#configuration,
      `server_name: ${name}
host: "127.0.0.1"
port: ${port}
jetstream: { store_dir: ${JSON.stringify(join(folder, name))}, max_file_store: 1GB }
${more}`,
    );
  }

  /** Starts it, the first time or after `kill`; settles when it takes connections. */
  async run(): Promise<void> {
    const child = spawn("nats-server", ["--config", this.#configuration], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#process = child;
    let log = "";
    await new Promise<void>((resolve, reject) => {
      const limit = setTimeout(() => reject(new Error(`nats-server did not come up:\n${log}`)), LIMIT);
      child.on("exit", () => reject(new Error(`nats-server ended:\n${log}`)));
      child.stderr?.setEncoding("utf8").on("data", (text: string) => {
        log = (log + text).slice(-10_000);
        if (!log.includes("Server is ready")) return;
        clearTimeout(limit);
        resolve();
      });
    });
    child.removeAllListeners("exit");
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await gone;
  }

  /** Nothing answers, and connections stay, until `resume`. Settles when it has stopped. */
  async pause(): Promise<void> {
    const child = this.#process;
    child?.kill("SIGSTOP");
    while (!/\) T /.test(readFileSync(`/proc/${child?.pid}/stat`, "utf8")))
      await new Promise((resolve) => setImmediate(resolve));
  }

  resume(): void {
    this.#process?.kill("SIGCONT");
  }
}

/** Servers that run until `stop`. */
export class NatsServers {
  readonly #folder: string;
  readonly all: readonly NatsServer[];

  private constructor(folder: string, all: readonly NatsServer[]) {
    this.#folder = folder;
    this.all = all;
  }

  /** @param configuration further lines of each one's */
  static async start(count = 1, configuration = ""): Promise<NatsServers> {
    const folder = mkdtempSync(join(tmpdir(), "shoal-nats-"));
    const ports = await freePorts(2 * count);
    const routes = ports.slice(count).map((port) => `"nats://127.0.0.1:${port}"`);
    const all = Array.from({ length: count }, (_, i) => {
      const cluster =
        count === 1
          ? ""
          : `cluster: { name: shoal, listen: "127.0.0.1:${ports[count + i]}", routes: [${routes}] }\n`;
      return new NatsServer(folder, `n${i}`, ports[i] as number, cluster + configuration);
    });
    const servers = new NatsServers(folder, all);
    await Promise.all(all.map((server) => server.run()));
    return servers;
  }

  /** As the option `servers`. */
  get servers(): string {
    return this.all.map(({ port }) => `127.0.0.1:${port}`).join(",");
  }

  async stop(): Promise<void> {
    await Promise.all(this.all.map((server) => server.kill()));
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
