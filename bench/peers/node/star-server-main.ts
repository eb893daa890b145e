/**
 * A server of a pair, to be killed: `star-server-main.js ROLE STATE PEER ENDPOINT HEARTBEAT`. Answers with its role
 * and the request; prints its state after each change. Ends with its standard input.
 */
import { BinaryStarServer } from "shoal/patterns";

const [role = "", state = "", peer = "", endpoint = "", heartbeat = ""] = process.argv.slice(2);
const server = new BinaryStarServer(([body]) => [role, body as Buffer], {
  star: { role: role as "primary" | "backup", peer, heartbeatInterval: Number(heartbeat) },
});
server.events.on("state:changed", (event) => console.log(event.state));
await server.bind("clients", endpoint);
await server.bind("state", state);
process.stdin.resume().on("end", () => process.exit(0));
