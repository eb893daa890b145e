/** What a closed socket has handed to the kernel arrives, also when its process has nothing left to do. */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { expect, it } from "vitest";
import { greeting, ready } from "../contract/support/zmtp-peer.js";
import { listening } from "../support/listening.js";
import { start } from "./child.js";

const COUNT = 6_000;
const SIZE = 100;
/** Of 2 bytes flags and length. */
const ON_THE_WIRE = COUNT * (SIZE + 2);
/** A command frame: PING, with a time to live of 0. */
const PING = Buffer.from("\x04\x07\x04PING\x00\x00", "latin1");

const SENDER = `import { Push } from "shoal";
const push = new Push();
push.connect(process.argv[1]);
for (let i = 0; i < ${COUNT}; i++) await push.send(Buffer.alloc(${SIZE}, 7));
await push.close();
console.log("closed");`;

it("to a peer that reads late and has said something meanwhile", async ({ onTestFinished }) => {
  const server = createServer();
  const port = await listening(server);
  const child = start(SENDER, { args: [`tcp://127.0.0.1:${port}`], env: { SHOAL_ENGINE: "zmtp" } });
  const [peer] = (await once(server, "connection")) as [Socket];
  onTestFinished(async () => {
    peer.destroy();
    if (child.running) await child.kill();
  });
  peer.on("error", () => undefined);
  // Its receive buffer fills, and the rest waits in the sender's kernel.
  peer.pause();
  peer.write(Buffer.concat([greeting(), ready("PULL")]));
  await child.heard("closed");
  // Were the process gone by now, its kernel would answer a PING by throwing the rest away.
  await Promise.race([child.outcome, new Promise((resolve) => setTimeout(resolve, 300))]);
  peer.write(PING);
  let bytes = 0;
  let early = Buffer.alloc(0);
  peer.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (early.length < 200) early = Buffer.concat([early, chunk]);
  });
  peer.resume();
  await Promise.race([once(peer, "end"), once(peer, "close")]);
  expect(bytes - early.indexOf("\x00\x64\x07\x07", "latin1")).toBe(ON_THE_WIRE);
  peer.end();
  expect((await child.outcome).code).toBe(0);
});
