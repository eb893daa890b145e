/**
 * Opens each folder that comes as a line, looks at everything, works with it; prints what it found, one line a folder.
 *
 *   node damage-program.js EXPECTED      JSON of pairs of a UUID in hex and the state of its request
 */
import { createInterface } from "node:readline";
import { LmdbStore } from "shoal/patterns";

const expected = JSON.parse(process.argv[2]);
for await (const directory of createInterface({ input: process.stdin })) {
  let line;
  try {
    const store = LmdbStore.open(directory, { minFreeBytes: 0 });
    const wrong = [];
    try {
      for (const [uuid, state] of expected) {
        const found = (await store.look(Buffer.from(uuid, "hex"))).state;
        if (found !== state && found !== "damaged") wrong.push(`${uuid} is ${found}, was ${state}`);
      }
      const claimed = new Set();
      for (const service of await store.services(100))
        for (const { uuid } of await store.claim(service, 10_000, 1)) claimed.add(uuid.toString("hex"));
      for (const [uuid, state] of expected) {
        if (state !== "pending" || claimed.has(uuid)) continue;
        const now = (await store.look(Buffer.from(uuid, "hex"))).state;
        if (now === "pending") wrong.push(`${uuid} is claimed by nobody`);
      }
      const uuid = Buffer.alloc(16, 255);
      await store.put({ uuid, service: Buffer.from("x"), body: [Buffer.alloc(20_000)], expires: 1e15 });
      await Promise.all(expected.map(([uuid]) => store.forget(Buffer.from(uuid, "hex"))));
      await store.expire(1_000);
      line = wrong.length === 0 ? "opened" : `wrong: ${wrong.join("; ")}`;
    } finally {
      await store.close();
    }
  } catch (error) {
    line = error.code === "ERR_STORE" ? `refused: ${error.message}` : `failed: ${error.stack}`;
  }
  console.log(line.replaceAll("\n", " "));
}
process.exit(0);
