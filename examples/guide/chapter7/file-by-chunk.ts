/**
 * File transfer, model 2: the client asks for each chunk, and for the next one when it has it.
 *
 * The server keeps no state: a request names where a chunk begins and how long it is. Look at what that gives: nothing waits
 * anywhere, any server with the same file can answer the next request, and a client can go on where it had stopped. Look also
 * at the cost: one round trip for each chunk, in which the line is idle. Model 3 takes that away.
 *
 *   node examples/guide/chapter7/file-by-chunk.ts
 */
import { createHash, randomBytes } from "node:crypto";
import { Reply, Request } from "shoal";

const CHUNK = 16_384;
const file = randomBytes(40 * CHUNK + 1_234); // In place of a file.
const digest = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

async function serve(server: Reply): Promise<void> {
  for await (const [, offset, length] of server) {
    const start = Number(offset);
    await server.send(file.subarray(start, start + Number(length)));
  }
}
const server = new Reply();
await server.bind("inproc://file-by-chunk");
const serving = serve(server);

const client = new Request();
client.connect("inproc://file-by-chunk");
const chunks: Buffer[] = [];
for (let offset = 0; ; offset += CHUNK) {
  const [chunk = Buffer.alloc(0)] = await client.request(["fetch", String(offset), String(CHUNK)]);
  chunks.push(chunk);
  if (chunk.length < CHUNK) break; // The last one.
}
const received = Buffer.concat(chunks);
console.log(`${chunks.length} chunks, ${received.length} bytes, one at a time`);
console.log(`the file is the same: ${digest(received) === digest(file)}`);
await client.close();
await server.close();
await serving;
