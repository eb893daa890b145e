/**
 * A clone's server of a pair, to be killed: `clone-server-main.js ROLE ENDPOINT PEER HEARTBEAT`. Prints its state
 * after each change, and `in-step` when the other one has everything. Ends with its standard input.
 */
import { CloneServer } from "shoal/patterns";

const [role = "", endpoint = "", peer = "", heartbeat = ""] = process.argv.slice(2);
const server = new CloneServer({
  pair: { role: role as "primary" | "backup", peer },
  heartbeatInterval: Number(heartbeat),
});
server.events.on("state:changed", ({ state }) => console.log(state));
server.events.on("replica:joined", () => console.log("in-step"));
await server.bind(endpoint);
process.stdin.resume().on("end", () => process.exit(0));
