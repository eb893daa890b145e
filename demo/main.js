// @ts-check
/** npm run demo [-- --dir PATH --workers N]. Says what it shows, builds shoal if that is needed, and shows it. */
import { execFileSync } from "node:child_process";
import { statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, InvalidArgumentError } from "commander";
import { Report } from "./report.js";

const MOST_WORKERS = 64;
const PACKAGES = fileURLToPath(new URL("../node_modules", import.meta.url));
const BUILD = fileURLToPath(new URL("../scripts/build.js", import.meta.url));
const SIGNALS = /** @type {const} */ ({ SIGINT: 130, SIGTERM: 143, SIGHUP: 129 });

/** @param {string} value */
function workerCount(value) {
  const count = Number(value);
  if (/^\d+$/.test(value) && count >= 1 && count <= MOST_WORKERS) return count;
  throw new InvalidArgumentError(`It is a whole number from 1 to ${MOST_WORKERS}.`);
}

/** @param {number} number @param {string} noun */
function count(number, noun) {
  return `${number} ${number === 1 ? noun : `${noun}s`}`;
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
  .option("--build", "first build what of shoal is not up to date")
  .allowExcessArguments(false)
  .exitOverride((exit) => process.exit(exit.exitCode === 0 ? 0 : 2));
/** @type {{ dir?: string, workers: number, build?: true }} */
const { dir = PACKAGES, workers, build } = command.parse().opts();

const interrupt = new AbortController();
let exitCode = 1;
for (const [name, code] of Object.entries(SIGNALS)) {
  process.on(name, () => {
    exitCode = code;
    interrupt.abort(new Error(`Stopped by ${name}`));
  });
}

const report = new Report();
report.line(`shoal's demo: a ventilator, ${count(workers, "worker")} and a sink, each a process of its own, count the words of every
text file in a folder. The ventilator pushes a message for each file to the workers, these push their counts to the
sink, and the main process publishes the start and the stop, follows the progress, and asks for the result. Then one
process counts the same files alone, without a socket: both results have to agree byte for byte.
`);
report.line(`Folder:    ${relative(process.cwd(), dir) || "."}`);
try {
  if (build === true) execFileSync(process.execPath, [BUILD, "code", "--quiet"], { stdio: "inherit" });
  const { runDemo } = await import("./run.js"); // It imports shoal, which has been built by now.
  const agree = await runDemo({ dir, workers, report, signal: interrupt.signal });
  if (agree) exitCode = 0;
} catch (error) {
  process.stderr.write(`demo: ${error instanceof Error ? error.message : error}\n`);
}
process.exitCode = exitCode;
