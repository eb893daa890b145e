/**
 * Binary Star around a server of your own: the states as a part, the socket and the replies yours.
 *
 * The Guide's bstar class runs the program's handlers in its reactor. Here the program reads its socket and asks a
 * `BinaryStarGate` for each request whether this server may serve it. Brokers of shoal take such a gate as an option
 * (`new MajordomoBroker({ gate })`), so whole brokers run as pairs.
 *
 *   node examples/guide/chapter4/binary-star-reactor.ts
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Envelope, Request, Router } from "shoal";
import { BinaryStar, BinaryStarGate } from "shoal/binary-star";

const folder = mkdtempSync(join(tmpdir(), "shoal-star-"));
const at = (name: string) => `ipc://${join(folder, name)}`;

const star = new BinaryStar({ role: "primary", peer: at("backup-state"), heartbeatInterval: 300 });
star.events.on("state:changed", ({ state, reason }) => console.log(`server: ${state}, reason ${reason}`));
const router = new Router();
await router.bind(at("clients"));
const serve = async (message: Buffer[]) => {
  const { envelope, body } = Envelope.parse(message);
  // A client that is gone needs no reply.
  await router.reply(envelope, `${body[0]} World`).catch(() => undefined);
};
const gate = new BinaryStarGate(star);
gate.passTo(serve); // Gets kept requests after a failover.
const serving = (async () => {
  for await (const message of router) if (gate.admit(message, true)) await serve(message);
})();
await star.bind(at("primary-state"));

// The backup is not there. The first request is the sign that clients look for a server, and it is answered after that.
const client = new Request();
client.connect(at("clients"));
console.log(
  `client: ${await client.request("Hello", { timeout: 30_000, attemptTimeout: 5_000, retries: 5 })}`,
);
console.log(`gate: served ${gate.stats().served} requests`);

await client.close();
await star.close();
await router.close();
await serving;
rmSync(folder, { recursive: true });
