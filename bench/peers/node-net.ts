/** The ceiling: Node with ZMTP's framing, but no socket types, handshake and guarantees. */
import type { Contender } from "../contract.js";
import { programFile } from "../places.js";
import { sideArguments } from "./node/side.js";

const MAIN = programFile("peers/node-net/main");
const FIRST = programFile("peers/node-net/first-message-main");
const STARTER = programFile("peers/start-up-main");

const SCENARIOS: readonly string[] = [
  "throughput",
  "latency",
  "fan-out",
  "fan-in",
  "request-reply",
  "connection-storm",
  "slow-consumer",
  "start-up",
  "tls",
  "cluster-forward",
  "cluster-publish",
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
