/** The ceiling: what Node itself can move with ZMTP's framing, with no socket types, no handshake, no guarantees. */
import { fileURLToPath } from "node:url";
import type { Contender } from "../contract.js";
import { sideArguments } from "./node/side.js";

const MAIN = fileURLToPath(new URL("./node-net/main.js", import.meta.url));
const FIRST = fileURLToPath(new URL("./node-net/first-message.js", import.meta.url));
const STARTER = fileURLToPath(new URL("./start-up-main.js", import.meta.url));

const SCENARIOS: readonly string[] = [
  "throughput",
  "latency",
  "fan-out",
  "fan-in",
  "request-reply",
  "slow-consumer",
  "start-up",
];

export const nodeNet: Contender = {
  name: "node-net",
  title: "node:net (ceiling)",
  absent: async () => undefined,
  supports: (scenario, transport) => transport !== "inproc" && SCENARIOS.includes(scenario),
  command(side) {
    const args = side.scenario === "start-up" ? [STARTER, JSON.stringify([process.execPath, FIRST])] : [MAIN];
    return { file: process.execPath, args: [...args, ...sideArguments(side)] };
  },
  version: async () => `Node.js ${process.versions.node}`,
};
