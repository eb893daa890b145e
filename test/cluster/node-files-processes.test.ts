/** A node whose process runs out of files (ulimit -n) warns, loses no member, and works again when there are some. */
import { connect, type Socket } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { ClusterNode, DiscoveryClient } from "../../src/cluster/index.js";
import { Child } from "../process/child.js";
import { freePort } from "../support/ports.js";

const PORT = await freePort();
/** Node.js itself has some 20 files open, a node with a server 10 more. */
const FILES = 60;

const SERVER = `
import { ClusterNode, DiscoveryServer } from "shoal/cluster";
const [cluster, port] = process.argv.slice(1);
const node = new ClusterNode({ name: "poor", cluster, multicast: { port: Number(port) } });
for (const type of ["joined", "lost", "suspect", "minority"]) node.events.on(type, ({ member }) => console.log(type, member?.name.split("@")[0]));
process.on("warning", ({ code }) => console.log(code));
await node.start();
const server = new DiscoveryServer(node, { endpoint: "tcp://127.0.0.1:*", http: { port: 0 }, users: { ana: "secret" } });
await server.start();
console.log(server.endpoint);
`;

/** A program that may open so many files. */
function poor(source: string, ...args: string[]): Child {
  const node = [process.execPath, "--unhandled-rejections=strict", "--input-type=module", "-e", source];
  const child = new Child("sh", ["-c", `ulimit -n ${FILES}; exec "$0" "$@"`, ...node, ...args], {
    limit: 60_000,
  });
  onTestFinished(async () => void (await child.kill()));
  return child;
}

async function nodeOf(name: string, cluster: string, faults: string[]): Promise<ClusterNode> {
  const node = new ClusterNode({ name, cluster, multicast: { port: PORT } });
  for (const type of ["lost", "minority"] as const) node.events.on(type, () => void faults.push(type));
  onTestFinished(() => node.close({ linger: 0 }));
  await node.start();
  return node;
}

/** Connections that are held, and made again when they end. */
class Flood {
  readonly #sockets = new Set<Socket>();
  #isOver = false;

  constructor(port: number, count: number) {
    for (let i = 0; i < count; i++) this.#open(port);
    onTestFinished(() => this.end());
  }

  end(): void {
    this.#isOver = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  #open(port: number): void {
    if (this.#isOver) return;
    const socket = connect(port, "127.0.0.1");
    this.#sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.#sockets.delete(socket);
      setTimeout(() => this.#open(port), 50).unref();
    });
  }
}

it("a node without files warns, loses nobody, is lost by nobody, and serves again", async () => {
  const cluster = `files-${process.pid}`;
  const faults: string[] = [];
  const rich = await nodeOf("rich", cluster, faults);
  const child = poor(SERVER, cluster, String(PORT));
  const lines: string[] = [];
  const untilLine = async (wanted: RegExp): Promise<string> => {
    for (;;) {
      const line = await child.line();
      lines.push(line);
      if (wanted.test(line)) return line;
    }
  };
  const seen = new Set<string>();
  while (seen.size < 2) {
    const line = await untilLine(/^(?:tcp:|joined rich$)/);
    seen.add(line);
  }
  const endpoint = [...seen].find((line) => line.startsWith("tcp:")) as string;
  const flood = new Flood(Number(endpoint.split(":").at(-1)), 2 * FILES);
  await untilLine(/^SHOAL_FILES$/);
  // Members come and go meanwhile: that takes no files.
  const late = await nodeOf("late", cluster, faults);
  await untilLine(/^joined late$/);
  for (const node of [rich, late])
    while (node.members().length < 3) await new Promise((resolve) => node.events.once("joined", resolve));
  flood.end();
  const client = new DiscoveryClient({ addresses: endpoint, username: "ana", password: "secret" });
  onTestFinished(() => client.close({ linger: 0 }));
  await client.ready({ timeout: 30_000 });
  const names = (): readonly string[] => client.nodes.map(({ name }) => name.split("@")[0] ?? "").sort();
  await expect.poll(names).toEqual(["late", "poor", "rich"]);
  expect(lines.filter((line) => /^(?:lost|minority)/.test(line))).toEqual([]);
  expect(faults).toEqual([]);
}, 60_000);
