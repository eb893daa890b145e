/** A DNS server of a test's own: Debian's dnsmasq on a port that was free. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const OPTIONS = [
  ...["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--no-poll"],
  ...["--bind-interfaces", "--listen-address=127.0.0.1", "--user=root", "--log-facility=-"],
  "--local=/test/",
];

export class DnsServer {
  readonly #folder = mkdtempSync(join(tmpdir(), "shoal-dns-"));
  #process: ChildProcess | undefined;

  constructor(readonly port: number) {}

  /** "host:port", as `servers` of a source takes it. */
  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /**
   * Starts it, or starts it again with other records.
   *
   * @param records "name address ttl" for A and AAAA, "name target:port ttl" for SRV; names that no record has do not exist
   */
  async start(...records: string[]): Promise<void> {
    await this.kill();
    const ttls = records.map((record) => record.split(" ")[2] ?? "1");
    const args = records.map((record, i) => {
      const [name, value = ""] = record.split(" ");
      const at = value.lastIndexOf(":");
      if (name?.startsWith("_")) return `--srv-host=${name},${value.slice(0, at)},${value.slice(at + 1)}`;
      return `--host-record=${name},${value},${ttls[i]}`;
    });
    const own = [`--port=${this.port}`, `--pid-file=${join(this.#folder, "pid")}`];
    const process = spawn("dnsmasq", [...OPTIONS, ...own, ...args], { stdio: ["ignore", "ignore", "pipe"] });
    this.#process = process;
    await new Promise<void>((resolve, reject) => {
      let text = "";
      process.stderr?.on("data", (data: Buffer) => {
        text += data.toString();
        if (text.includes("started, version")) resolve();
      });
      process.once("exit", () => reject(new Error(`dnsmasq ended: ${text}`)));
      process.once("error", reject);
    });
  }

  /** Nobody answers any more; a query is not refused, but lost. */
  stop(): void {
    this.#process?.kill("SIGSTOP");
  }

  /** Ends it at once: the port is closed. */
  async kill(): Promise<void> {
    const process = this.#process;
    this.#process = undefined;
    if (process === undefined || process.exitCode !== null || process.signalCode !== null) return;
    const ended = new Promise((resolve) => process.once("exit", resolve));
    process.kill("SIGKILL");
    await ended;
  }

  async close(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
