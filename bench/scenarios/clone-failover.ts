import type { Scenario } from "../contract.js";
import { KILLED_PAIR } from "./killed-pair.js";

/**
 * A pair of servers and a client that sets without a pause. The server that serves is killed with -9, and the clock runs
 * until the next set is acknowledged by the other; then the killed one is started again, loads the map, and it is the
 * other's turn. Whatever was acknowledged has to be there after each of them.
 */
export const cloneFailover: Scenario = {
  name: "clone-failover",
  question: "How many heartbeats after the kill of the serving server is the next set acknowledged?",
  ...KILLED_PAIR,
};
