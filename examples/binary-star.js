// @ts-check
/** Binary Star: of two servers one serves. When it goes, the other takes over; when it is back, the service is handed back to it. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BinaryStarClient, BinaryStarServer } from "shoal/binary-star";

// Endpoints that both sides have to know beforehand; over tcp they are `tcp://HOST:PORT`.
const folder = mkdtempSync(join(tmpdir(), "shoal-star-"));
const at = (/** @type {string} */ name) => `ipc://${join(folder, name)}`;

/** @param {"primary" | "backup"} role */
async function start(role) {
  const peer = role === "primary" ? "backup" : "primary";
  const server = new BinaryStarServer(([word]) => `${word}, says the ${role}`, {
    star: { role, peer: at(`${peer}-state`), heartbeatInterval: 400 },
  });
  await server.bind("clients", at(role));
  await server.bind("state", at(`${role}-state`));
  return server;
}

let primary = await start("primary");
const backup = await start("backup");
await Promise.all([primary.ready(), backup.ready()]);

const client = new BinaryStarClient([at("primary"), at("backup")], { attemptTimeout: 500 });
const answers = [];
answers.push(String(await client.request("hello")));

// The primary is gone. The client asks the other server, which takes over after two heartbeats of silence.
await primary.close();
answers.push(String(await client.request("hello again")));

// It is back, stands by, and the operator gives the service back to it.
primary = await start("primary");
await primary.ready();
while (backup.stats().star.peer !== "passive") await new Promise((resolve) => setTimeout(resolve, 20));
const active = new Promise((resolve) => primary.events.once("state:changed", resolve));
await backup.handOver();
await active;
answers.push(String(await client.request("and again")));

assert.deepEqual(answers, [
  "hello, says the primary",
  "hello again, says the backup",
  "and again, says the primary",
]);
await client.close();
await primary.close();
await backup.close();
rmSync(folder, { recursive: true });
console.log(answers.join("\n"));
