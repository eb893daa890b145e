/**
 * File transfer, model 3: some chunks are always asked for ahead, so that the line is never idle and nothing piles up.
 *
 * It is a credit: as many chunks as that may be on their way, and each that arrives allows one more request. Look at the server,
 * which is that of model 2 on a ROUTER; all the control is at the client, who knows what it can take. The credit bounds what
 * waits at both ends, whatever the size of the file and the number of clients.
 *
 *   node examples/guide/chapter7/file-credit.ts [server | client] [FILE] [ENDPOINT]
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Dealer, Router } from "shoal";

const CHUNK = 16_384;
const CREDIT = 10;
const [role = "all", path = "received", given] = process.argv.slice(2);
const endpoint = given ?? (role === "all" ? "inproc://file-credit" : "tcp://127.0.0.1:6000");

async function serve(server: Router, name: string): Promise<void> {
  const file = await open(name);
  const { size } = await file.stat();
  for await (const [address, command, offset] of server) {
    const start = Number(offset);
    // What a client sends decides nothing but where a chunk begins.
    if (address === undefined || String(command) !== "fetch" || !(start >= 0 && start <= size)) continue;
    const { buffer, bytesRead } = await file.read(Buffer.alloc(CHUNK), 0, CHUNK, start);
    await server.send([address, buffer.subarray(0, bytesRead)]);
  }
  await file.close();
}

async function fetch(): Promise<Buffer> {
  const client = new Dealer();
  client.connect(endpoint);
  const chunks: Buffer[] = [];
  let offset = 0;
  const ask = async (): Promise<void> => {
    await client.send(["fetch", String(offset)]);
    offset += CHUNK;
  };
  for (let i = 0; i < CREDIT; i++) await ask();
  for (;;) {
    const [chunk = Buffer.alloc(0)] = await client.receive({ timeout: 5_000 });
    chunks.push(chunk);
    if (chunk.length < CHUNK) break; // The last one. Those asked for beyond the end are not served.
    await ask();
  }
  await client.close({ linger: 0 });
  return Buffer.concat(chunks);
}

if (role === "client") writeFileSync(path, await fetch());
else {
  const folder = mkdtempSync(join(tmpdir(), "shoal-file-"));
  const name = role === "all" ? join(folder, "testdata") : path;
  if (role === "all") writeFileSync(name, randomBytes(40 * CHUNK + 1_234));
  const server = new Router();
  await server.bind(endpoint);
  const serving = serve(server, name);
  if (role === "server") process.once("SIGINT", () => server.close());
  else {
    const received = await fetch();
    const digest = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
    console.log(`${received.length} bytes, at most ${CREDIT} chunks on their way`);
    console.log(`the file is the same: ${digest(received) === digest(await readFile(name))}`);
    await server.close();
  }
  await serving;
  rmSync(folder, { recursive: true });
}
