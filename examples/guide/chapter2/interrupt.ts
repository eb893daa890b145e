/**
 * Ctrl-C, cleanly: the signal closes the socket, the loop ends by itself, and what was sent leaves.
 *
 * In C a signal interrupts the call that waits, and every call has to look for EINTR. In JavaScript a signal is an event like
 * any other: close the socket in its listener, and go on behind the loop. Look at what `close` returns: how many messages have
 * left, and how many could not.
 *
 *   node examples/guide/chapter2/interrupt.ts [server] [ENDPOINT]
 */
import { Reply, Request, text } from "shoal";

const [role = "all", endpoint = role === "all" ? "inproc://interrupt" : "tcp://127.0.0.1:5555"] =
  process.argv.slice(2);
const server = new Reply({ codec: text() });
await server.bind(endpoint);
const closing = new Promise((resolve) => {
  process.once("SIGINT", () => resolve(server.close({ linger: 1_000 })));
});

const client = new Request({ codec: text() });
if (role === "all") {
  client.connect(endpoint);
  // A client asks once, and then somebody presses Ctrl-C: the event that the system's signal would be.
  client.request("Hello").then(([reply]) => {
    console.log(`client: ${reply}`);
    process.emit("SIGINT", "SIGINT");
  });
}

for await (const [question] of server) await server.send(`${question} World`);
console.log("interrupted: the loop has ended", await closing);
await client.close();
