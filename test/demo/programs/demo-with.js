// @ts-check
/** The demo with another program in the place of its workers: demo-with.js FOLDER WORKER [PATIENCE] */
import { fileURLToPath } from "node:url";
import { Report } from "../../../demo/report.js";
import { PROGRAMS, runDemo } from "../../../demo/run.js";

const [dir = "", worker = "", patience = "60000"] = process.argv.slice(2);
const programs = { ...PROGRAMS, worker: fileURLToPath(new URL(worker, import.meta.url)) };
const { signal } = new AbortController();
try {
  const agree = await runDemo({
    dir,
    workers: 2,
    report: new Report(),
    signal,
    programs,
    patience: Number(patience),
  });
  process.exitCode = agree ? 0 : 1;
} catch (error) {
  console.error(`demo: ${/** @type {Error} */ (error).message}`);
  process.exitCode = 1;
}
