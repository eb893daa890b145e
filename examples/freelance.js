// @ts-check
/** Freelance: three servers and no broker. The client finds those that live, asks the fastest, and moves on when it goes. */
import assert from "node:assert/strict";
import { FreelanceClient, FreelanceServer } from "shoal/freelance";

/** @param {string} name */
async function start(name) {
  const server = new FreelanceServer(([fish]) => `${name} has ${fish}`);
  await server.bind("tcp://127.0.0.1:*"); // Its Identity, too: what clients dial.
  return server;
}

const servers = await Promise.all(["north", "east", "south"].map(start));
const endpoints = servers.map(({ endpoint }) => endpoint ?? "");
const client = new FreelanceClient(endpoints, { timeout: 5_000 });

const first = String(await client.request("cod"));
assert.match(first, /^(?:north|east|south) has cod$/);

// The server that answered goes away. The next request is answered by one of the others.
const index = ["north", "east", "south"].indexOf(first.split(" ")[0] ?? "");
await servers[index]?.close();
const second = String(await client.request("tuna"));
assert.match(second, /^(?:north|east|south) has tuna$/);
assert.notEqual(second.split(" ")[0], first.split(" ")[0]);

console.log(`${first}\n${second}`);
console.log(
  client
    .servers()
    .map(({ endpoint, alive }) => `${endpoint} ${alive ? "lives" : "is gone"}`)
    .join("\n"),
);
await client.close();
for (const server of servers) await server.close();
