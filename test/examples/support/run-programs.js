// @ts-check
/**
 * Runs programs one after the other in this process: `node run-programs.js FILE…`. Writes a line of JSON to file descriptor 3
 * for each: what it printed, how long it took, how it failed, and what it left open. Ends behind the first that failed, since
 * what that has left could disturb the others.
 *
 * A program is a module that prints and settles. It has ended by itself when what it had opened is gone.
 */
import { writeSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { format } from "node:util";

/** ms that a program may take; far more than any needs, for a busy machine. */
const LIMIT = 10_000;
/** ms that its sockets may take to be gone after its last line. */
const PATIENCE = 2_000;

/** @type {string[]} */
let lines = [];
console.log = (...values) => void lines.push(...format(...values).split("\n"));

/** What keeps the process: nothing of Node.js's own, and no output. */
function resources() {
  return process.getActiveResourcesInfo().filter((name) => !/^(?:TTYWrap|PipeWrap|Immediate)$/.test(name));
}

/** @param {string} path @returns {Promise<string | undefined>} how it failed */
async function run(path) {
  const ended = new AbortController();
  const late = setTimeout(LIMIT, `did not end in ${LIMIT} ms`, { signal: ended.signal });
  const program = import(pathToFileURL(path).href).then(() => undefined, format);
  const error = await Promise.race([program, late]);
  ended.abort();
  await late.catch(() => undefined); // Aborted.
  return error;
}

for (const path of process.argv.slice(2)) {
  lines = [];
  process.argv.length = 2; // A program without arguments plays all its roles.
  const before = resources().length;
  const started = performance.now();
  const error = await run(path);
  const milliseconds = Math.round(performance.now() - started);
  for (const until = performance.now() + PATIENCE; performance.now() < until; await setTimeout(2))
    if (error !== undefined || resources().length <= before) break;
  const left = resources().slice(before);
  writeSync(3, `${JSON.stringify({ path, lines, milliseconds, error, left })}\n`);
  if (error !== undefined || left.length > 0) process.exit(1);
}
