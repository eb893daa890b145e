/** Debian's etcd, in a folder and at ports of its own: killed, paused, wiped and started again as a test wants it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { within } from "../../contract/support/wait.js";
import { Child, FOREVER } from "../../process/child.js";
import { freePorts } from "../../support/ports.js";

/** ms until the server is taken for one that does not come up. */
const LIMIT = 30_000;

/** Times that it is started where its port was taken meanwhile. */
const TRIES = 3;

export interface EtcdFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export class EtcdServer {
  readonly #folder = mkdtempSync(join(tmpdir(), "shoal-etcd-"));
  readonly #tls: EtcdFiles | undefined;
  readonly #name: string;
  #peers: string;
  #process: Child | undefined;
  port = 0;
  peerPort = 0;

  private constructor(name: string, tls: EtcdFiles | undefined) {
    this.#name = name;
    this.#tls = tls;
    this.#peers = "";
  }

  static async start(tls?: EtcdFiles): Promise<EtcdServer> {
    const server = new EtcdServer("one", tls);
    for (let tries = 1; ; tries++) {
      [server.port, server.peerPort] = await freePorts(2);
      server.#peers = `one=http://127.0.0.1:${server.peerPort}`;
      try {
        await server.run();
        return server;
      } catch (error) {
        if (tries === TRIES) throw error;
      }
    }
  }

  /** A cluster of three servers. */
  static async startThree(): Promise<readonly EtcdServer[]> {
    const servers = ["one", "two", "three"].map((name) => new EtcdServer(name, undefined));
    const ports = await freePorts(6);
    servers.forEach((server, at) => {
      [server.port, server.peerPort] = ports.slice(2 * at, 2 * at + 2) as [number, number];
    });
    const peers = servers.map((server) => `${server.#name}=http://127.0.0.1:${server.peerPort}`).join(",");
    for (const server of servers) server.#peers = peers;
    await Promise.all(servers.map((server) => server.run()));
    return servers;
  }

  get url(): string {
    return `${this.#tls === undefined ? "http" : "https"}://127.0.0.1:${this.port}`;
  }

  /** Starts it, the first time or after `kill`; settles when it takes clients. */
  async run(): Promise<void> {
    const { url, peerPort } = this;
    const peer = `http://127.0.0.1:${peerPort}`;
    const tls = this.#tls;
    // One alone has nobody to wait for.
    const [heartbeat, election] = this.#peers.includes(",") ? [50, 500] : [10, 50];
    const args = [
      ...["--name", this.#name, "--data-dir", join(this.#folder, "data"), "--logger", "zap"],
      ...["--listen-client-urls", url, "--advertise-client-urls", url],
      ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
      ...["--initial-cluster", this.#peers],
      ...["--heartbeat-interval", `${heartbeat}`, "--election-timeout", `${election}`],
      ...["--unsafe-no-fsync", "--bcrypt-cost", "4"],
      ...(tls === undefined ? [] : ["--cert-file", tls.cert, "--key-file", tls.key]),
      ...(tls === undefined ? [] : ["--trusted-ca-file", tls.ca, "--client-cert-auth"]),
    ];
    const env = { ETCD_UNSUPPORTED_ARCH: "arm64" };
    const child = new Child("etcd", args, { stdin: "ignore", cwd: this.#folder, limit: FOREVER, env });
    this.#process = child;
    await within(child.until("stderr", /serving (insecure )?client (requests|traffic)/), "etcd", LIMIT);
  }

  /** Ends it as a crash does. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    await child?.kill();
  }

  /** It keeps its connections, and answers nothing until `resume`. */
  pause(): void {
    this.#process?.signal("SIGSTOP");
  }

  resume(): void {
    this.#process?.signal("SIGCONT");
  }

  /** All that it stored is gone: while it is down. */
  wipe(): void {
    rmSync(join(this.#folder, "data"), { recursive: true, force: true });
  }

  /** An answer of its JSON gateway. */
  async call(path: string, body: object, signal?: AbortSignal): Promise<Record<string, unknown>> {
    const request = { method: "POST", body: JSON.stringify(body), ...(signal && { signal }) };
    const answer = await fetch(`${this.url}${path}`, request);
    const value = (await answer.json()) as Record<string, unknown>;
    if (!answer.ok) throw new Error(`${path}: ${JSON.stringify(value)}`);
    return value;
  }

  put(key: string, value: string, signal?: AbortSignal): Promise<unknown> {
    return this.call("/v3/kv/put", { key: base64(key), value: base64(value) }, signal);
  }

  delete(key: string): Promise<unknown> {
    return this.call("/v3/kv/deleterange", { key: base64(key) });
  }

  /** The value of a key, and the lease that it is under. */
  async get(key: string): Promise<{ value: string; lease: string | undefined } | undefined> {
    const { kvs = [] } = (await this.call("/v3/kv/range", { key: base64(key) })) as {
      kvs?: { value?: string; lease?: string }[];
    };
    const [found] = kvs;
    if (found === undefined) return undefined;
    return { value: Buffer.from(found.value ?? "", "base64").toString(), lease: found.lease };
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}
