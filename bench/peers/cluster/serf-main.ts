/** A side whose agents are serf's. */
import { parseSide, Side } from "../node/side.js";
import { playCluster } from "./play.js";
import { serfAgents } from "./serf-agents.js";

await playCluster(new Side(parseSide(process.argv.slice(2))), serfAgents);
