// @ts-check
/** A worker that is killed in the middle of its second file. */
import { countFile } from "../../../demo/count.js";
import { runWorker } from "../../../demo/worker.js";

let files = 0;
await runWorker(async (dir, path) => {
  files += 1;
  if (files === 2) process.kill(process.pid, "SIGKILL");
  return await countFile(dir, path);
});
