// @ts-check
/** A worker that counts the first word of one file once too often. */
import { countFile } from "../../../demo/count.js";
import { runWorker } from "../../../demo/worker.js";

await runWorker(async (dir, path) => {
  const count = await countFile(dir, path);
  if (path !== "plain.txt" || count.status !== "text") return count;
  return { ...count, counts: count.counts.map((n, i) => (i === 0 ? n + 1 : n)) };
});
