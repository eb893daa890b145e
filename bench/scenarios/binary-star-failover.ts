import type { Scenario } from "../contract.js";
import { KILLED_PAIR } from "./killed-pair.js";

/**
 * A pair and a client that asks without a pause. The server that serves is killed with -9, and the clock runs until
 * the next reply; then it is started again, stands by, and it is the other's turn.
 */
export const binaryStarFailover: Scenario = {
  name: "binary-star-failover",
  question: "How many heartbeats after the kill of the serving server is the next request served?",
  ...KILLED_PAIR,
};
