/** shoal-peer.js as a program of its own, on the built package: node shoal-main.js ENGINE, then commands, one JSON object a line. */
import { createInterface } from "node:readline";
import * as shoal from "shoal";
import { ShoalPeer } from "./shoal-peer.js";

const peer = new ShoalPeer(shoal, process.argv[2]);
const answer = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

answer({});
for await (const line of createInterface({ input: process.stdin })) {
  try {
    answer(await peer.run(JSON.parse(line)));
  } catch (error) {
    answer({ error: String(error) });
  }
}
await peer.close_all();
