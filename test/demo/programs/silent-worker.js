// @ts-check
/** A worker that takes a file and never answers. */
import { runWorker } from "../../../demo/worker.js";

await runWorker(() => new Promise(() => undefined));
