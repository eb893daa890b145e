/** serf: an agent on each host, with hashicorp's memberlist. It has membership only. */
import type { Contender } from "../contract.js";
import { programFile } from "../places.js";
import { clusterObstacle, isClusterScenario } from "./cluster/scenarios.js";
import { sideArguments } from "./node/side.js";
import { ask } from "./tools.js";

const MAIN = programFile("peers/cluster/serf-main");

export const serf: Contender = {
  name: "serf",
  title: "serf",
  async absent() {
    const { code } = await ask("serf", ["version"]);
    return code === 0 ? undefined : "not here: the program serf; install it (Debian: apt install serf)";
  },
  supports: (scenario, transport) =>
    transport === "tcp" && isClusterScenario(scenario) && clusterObstacle(scenario) === undefined,
  command: (side) => ({ file: process.execPath, args: [MAIN, ...sideArguments(side)] }),
  async version() {
    const text = (await ask("serf", ["version"])).stdout.split("\n")[0]?.replace("Serf v", "").trim();
    return `serf ${text}`;
  },
};
