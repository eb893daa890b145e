/** All scenarios, in the order of the suite. */
import type { Scenario } from "../contract.js";
import { CLUSTERS } from "./clusters.js";
import { PATTERNS } from "./patterns.js";
import { SOCKETS } from "./sockets.js";

export const SCENARIOS: readonly Scenario[] = [...SOCKETS, ...PATTERNS, ...CLUSTERS];
