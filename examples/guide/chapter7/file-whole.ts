/**
 * File transfer, model 1: the server sends the whole file at once. It is what not to do.
 *
 * Sending does not wait for the client, so what it has not taken yet waits in the server's queue. Look at the two numbers. With
 * a high-water mark a ROUTER drops what does not fit, and the file arrives with holes; without one the whole file is in memory,
 * once for each client. Models 2 and 3 let the client ask for as much as it can take.
 *
 *   node examples/guide/chapter7/file-whole.ts
 */
import { randomBytes } from "node:crypto";
import { Dealer, Router } from "shoal";

const CHUNK = 16_384;
const file = randomBytes(40 * CHUNK); // In place of a file.

async function transfer(highWaterMark: number): Promise<void> {
  const server = new Router({ sendHighWaterMark: highWaterMark });
  const client = new Dealer({ receiveHighWaterMark: highWaterMark });
  await server.bind("inproc://file-whole");
  client.connect("inproc://file-whole");
  await client.send("fetch");

  const [address = ""] = await server.receive();
  for (let offset = 0; offset < file.length; offset += CHUNK)
    await server.send([address, file.subarray(offset, offset + CHUNK)]);
  const { dropped } = server.stats();
  const arrived = 40 - dropped["peer-full"];
  for (let i = 0; i < arrived; i++) await client.receive();
  const limit = highWaterMark === 0 ? "no limit" : `at most ${highWaterMark} on each side`;
  console.log(`${limit}: ${arrived < 40 ? "chunks were dropped" : "all 40 chunks waited in memory"}`);
  await Promise.all([client.close(), server.close()]);
}

await transfer(5);
await transfer(0);
