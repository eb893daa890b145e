/** The ceiling: Node with ZMTP's framing, but no socket types, handshake and guarantees. */
import type { Contender } from "../contract.js";
import { programFile } from "../places.js";
import { sideArguments } from "./node/side.js";

const MAIN = programFile("peers/node-net/main");

const SCENARIOS: readonly string[] = [
  "throughput",
  "latency",
  "fan-out",
  "fan-in",
  "request-reply",
  "slow-consumer",
  "cluster-forward",
];

export const nodeNet: Contender = {
  name: "node-net",
  title: "node:net (ceiling)",
  absent: async () => undefined,
  supports: (scenario, transport) => transport !== "inproc" && SCENARIOS.includes(scenario),
  command: (side) => ({ file: process.execPath, args: [MAIN, ...sideArguments(side)] }),
  version: async () => `Node.js ${process.versions.node}`,
};
