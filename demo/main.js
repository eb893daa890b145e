// @ts-check
/** npm run demo [-- --dir PATH --workers N] */
import { statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, InvalidArgumentError } from "commander";
import { Report } from "./report.js";
import { runDemo } from "./run.js";

const MOST_WORKERS = 64;
const PACKAGES = fileURLToPath(new URL("../node_modules", import.meta.url));
const SIGNALS = /** @type {const} */ ({ SIGINT: 130, SIGTERM: 143, SIGHUP: 129 });

/** @param {string} value */
function workerCount(value) {
  const count = Number(value);
  if (/^\d+$/.test(value) && count >= 1 && count <= MOST_WORKERS) return count;
  throw new InvalidArgumentError(`It is a whole number from 1 to ${MOST_WORKERS}.`);
}

/** @param {string} value */
function folder(value) {
  const path = resolve(value);
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) throw new InvalidArgumentError("There is no such folder.");
  if (!found.isDirectory()) throw new InvalidArgumentError("It is no folder.");
  return path;
}

const command = new Command("demo")
  .description(
    "Counts the words of every text file under a folder, in several processes that talk over shoal's sockets, and checks the result against a single process.",
  )
  .option("--dir <path>", "the folder (default: the installed packages)", folder)
  .option("--workers <n>", "worker processes", workerCount, Math.max(2, Math.min(8, availableParallelism())))
  .allowExcessArguments(false)
  .exitOverride((exit) => process.exit(exit.exitCode === 0 ? 0 : 2));
const { dir = PACKAGES, workers } = /** @type {{ dir?: string, workers: number }} */ (command.parse().opts());

const interrupt = new AbortController();
let exitCode = 1;
for (const [name, code] of Object.entries(SIGNALS)) {
  process.on(name, () => {
    exitCode = code;
    interrupt.abort(new Error(`Stopped by ${name}`));
  });
}

const report = new Report();
report.line(`Folder:    ${relative(process.cwd(), dir) || "."}`);
try {
  const agree = await runDemo({ dir, workers, report, signal: interrupt.signal });
  if (agree) exitCode = 0;
} catch (error) {
  process.stderr.write(`demo: ${error instanceof Error ? error.message : error}\n`);
}
process.exitCode = exitCode;
