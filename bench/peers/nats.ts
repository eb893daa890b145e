/** NATS, a broker: every message takes two hops, and the server is a third process. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Contender } from "../contract.js";
import { programFile } from "../places.js";
import { Broker, brokerAbsent, packageVersion } from "./broker.js";
import { sideArguments } from "./node/side.js";
import { ask } from "./tools.js";

const MAIN = programFile("peers/nats/main");
const GET =
  "install both (Debian: apt install nats-server; macOS: brew install nats-server; then npm install nats)";
const SCENARIOS: readonly string[] = [
  "throughput",
  "cluster-forward",
  "latency",
  "fan-out",
  "fan-in",
  "request-reply",
  "service",
];

/** Larger limits for slow consumers than the defaults: a run must not lose messages. */
const CONFIGURATION = `
host: "127.0.0.1"
port: -1
max_payload: 8MB
max_pending: 1GB
write_deadline: "60s"
`;

let broker: Broker | undefined;
let port = "";

export const nats: Contender = {
  name: "nats",
  title: "NATS",
  absent: () => brokerAbsent("nats-server", "nats", GET),
  supports: (scenario, transport) => transport === "tcp" && SCENARIOS.includes(scenario),
  command(side) {
    // The role that binds elsewhere reports the server and the subject.
    const options = { ...side.options, server: `nats://127.0.0.1:${port}` };
    return { file: process.execPath, args: [MAIN, ...sideArguments({ ...side, options })] };
  },
  async version() {
    const server = (await ask("nats-server", ["--version"])).stdout.trim().replace(": v", " ");
    return `${server}, npm nats ${packageVersion("nats")}`;
  },
  async prepare() {
    const args = async (folder: string) => {
      const file = join(folder, "nats.conf");
      await writeFile(file, CONFIGURATION);
      return ["--config", file];
    };
    const started = await Broker.start("nats-server", args, /Listening for client connections on .*:(\d+)/);
    broker = started.broker;
    port = started.match[1] as string;
  },
  async dispose() {
    await broker?.stop();
    broker = undefined;
  },
};
