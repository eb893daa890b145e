// @ts-check
/**
 * Runs programs one after the other in this process: `node run-programs.js FILE…`. Writes a line of JSON to file descriptor 3
 * for each: what it printed, how long it took, how it failed, and what it left open.
 *
 * A program is a module that prints and settles. It has ended by itself when what it had opened is gone.
 */
import { writeSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { format } from "node:util";

/** ms that a program's sockets may take to be gone after its last line. */
const PATIENCE = 2_000;

/** @type {string[]} */
let lines = [];
console.log = (...values) => void lines.push(...format(...values).split("\n"));

/** What keeps the process: nothing of Node.js's own, and no output. */
function resources() {
  return process.getActiveResourcesInfo().filter((name) => !/^(?:TTYWrap|PipeWrap|Immediate)$/.test(name));
}

let hasFailed = false;
for (const path of process.argv.slice(2)) {
  lines = [];
  process.argv.length = 2; // A program without arguments plays all its roles.
  const before = resources().length;
  const started = performance.now();
  let error;
  try {
    await import(pathToFileURL(path).href);
  } catch (reason) {
    error = format(reason);
  }
  const milliseconds = Math.round(performance.now() - started);
  for (const until = performance.now() + PATIENCE; performance.now() < until; await setTimeout(2))
    if (resources().length <= before) break;
  const left = resources().slice(before);
  hasFailed ||= error !== undefined || left.length > 0;
  writeSync(3, `${JSON.stringify({ path, lines, milliseconds, error, left })}\n`);
}
if (hasFailed) process.exit(1); // What was left open would hold it.
