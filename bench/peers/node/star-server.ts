/**
 * A server of a pair, to be killed: `star-server.js ROLE BIND CONNECT ENDPOINT HEARTBEAT`. Answers with its role and
 * the request; says its state with a line each time that it changes. Ends with its standard input.
 */
import { BinaryStarServer } from "shoal/patterns";

const [role = "", bind = "", connect = "", endpoint = "", heartbeat = ""] = process.argv.slice(2);
const server = new BinaryStarServer({
  star: { role: role as "primary" | "backup", bind, connect, heartbeatInterval: Number(heartbeat) },
  endpoint,
  handler: ([body]) => [role, body as Buffer],
});
for (const state of ["active", "passive", "waiting", "fatal"] as const) {
  server.events.on(state, () => console.log(state));
}
await server.start();
process.stdin.resume().on("end", () => process.exit(0));
