/** The nodes of a cluster are processes of their own, started by the side. */
import { playCluster } from "../../cluster/play.js";
import { shoalAgents } from "../../cluster/shoal-agents.js";
import type { Roles } from "./role.js";

export const roles: Roles = { cluster: (side) => playCluster(side, shoalAgents) };
