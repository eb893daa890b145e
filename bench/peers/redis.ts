/** Redis, a data store used as a broker. Queues are lists, fan-out is publish and subscribe. */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import type { Contender } from "../contract.js";
import { programFile } from "../places.js";
import { Broker, brokerAbsent, packageVersion } from "./broker.js";
import { sideArguments } from "./node/side.js";
import { ask } from "./tools.js";

const MAIN = programFile("peers/redis/main");
const GET =
  "install both (Debian: apt install redis-server; macOS: brew install redis; then npm install @redis/client)";
const SCENARIOS: readonly string[] = ["throughput", "latency", "fan-out", "request-reply"];

/** Redis cannot choose a free port itself. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

let broker: Broker | undefined;
let port = 0;

export const redis: Contender = {
  name: "redis",
  title: "Redis",
  absent: () => brokerAbsent("redis-server", "@redis/client", GET),
  supports: (scenario, transport) => transport === "tcp" && SCENARIOS.includes(scenario),
  command(side) {
    // The role that binds elsewhere reports the server and the name.
    const options = { ...side.options, server: `redis://127.0.0.1:${port}` };
    return { file: process.execPath, args: [MAIN, ...sideArguments({ ...side, options })] };
  },
  async version() {
    const version = /v=(\S+)/.exec((await ask("redis-server", ["--version"])).stdout)?.[1] ?? "";
    return `redis-server ${version}, npm @redis/client ${packageVersion("@redis/client")}`;
  },
  async prepare() {
    port = await freePort();
    const args = async (folder: string) => [
      ...["--port", String(port), "--bind", "127.0.0.1", "--dir", folder],
      // Nothing is stored on disk; slow subscribers are waited for, as elsewhere.
      ...["--save", "", "--appendonly", "no"],
      ...["--client-output-buffer-limit", "pubsub 0 0 0"],
    ];
    ({ broker } = await Broker.start("redis-server", args, /Ready to accept connections/i));
  },
  async dispose() {
    await broker?.stop();
    broker = undefined;
  },
};
