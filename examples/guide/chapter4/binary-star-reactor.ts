/**
 * Binary Star around a server of your own: the states as a part, the socket and the replies yours.
 *
 * The Guide's bstar class runs the program's handlers in its reactor. Look at `BinaryStarReactor`: it reads the socket, asks
 * the star whether this server may serve, and calls `onRequest` only then. Brokers of shoal take a gate in place of it
 * (`new MajordomoBroker({ gate })`), so whole brokers run as pairs.
 *
 *   node examples/guide/chapter4/binary-star-reactor.ts
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Envelope, Request, Router } from "shoal";
import { BinaryStar, BinaryStarReactor } from "shoal/binary-star";

const folder = mkdtempSync(join(tmpdir(), "shoal-star-"));
const at = (name: string) => `ipc://${join(folder, name)}`;

const star = new BinaryStar({ role: "primary", peer: at("backup-state"), heartbeatInterval: 300 });
star.events.on("state:changed", ({ state, reason }) => console.log(`server: ${state}, reason ${reason}`));
const router = new Router();
await router.bind(at("clients"));
const reactor = new BinaryStarReactor(star, router, {
  onRequest: async (message) => {
    const { envelope, body } = Envelope.parse(message);
    await router.reply(envelope, `${body[0]} World`);
  },
});
await star.bind(at("primary-state"));

// The backup is not there. The first request is the sign that clients look for a server, and it is answered after that.
const client = new Request();
client.connect(at("clients"));
console.log(
  `client: ${await client.request("Hello", { timeout: 30_000, attemptTimeout: 5_000, retries: 5 })}`,
);
console.log(`reactor: served ${reactor.stats().served} requests`);

await client.close();
await star.close();
await router.close();
rmSync(folder, { recursive: true });
