// @ts-check
/** What the ventilator, the workers and the sink have in common: how they are started, how they end. */
import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Push, Subscriber } from "shoal";
import { reportCodec, STOP } from "./protocol.js";

/** @typedef {import("./protocol.js").Settings} Settings */

/** @returns {Settings} what main passed on the command line */
export function readSettings() {
  return JSON.parse(process.argv[2] ?? "{}");
}

/**
 * Whether a module is the program that runs.
 *
 * @param {string} url its `import.meta.url`
 */
export function isProgram(url) {
  return process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(url);
}

/**
 * The way to main: reports out, control in. The process ends when main says so,
 * and at once when main is gone, whatever ended it: standard input is a pipe
 * that main holds open.
 *
 * @param {Settings} settings
 */
export function joinMain(settings) {
  process.on("SIGINT", () => undefined); // Ctrl-C reaches every process of the terminal; main decides.
  process.stdin.on("close", () => process.exit(1)).resume();
  const reports = new Push({ codec: reportCodec });
  reports.connect(settings.reports);
  const control = new Subscriber();
  control.connect(settings.control);
  control.subscribe(STOP);
  return { reports, control };
}

/**
 * Closes everything, so that every loop over a socket ends and then the process.
 *
 * @param {import("shoal").Socket[]} sockets
 */
export async function leave(sockets) {
  process.stdin.removeAllListeners("close").destroy();
  await Promise.all(sockets.map((socket) => socket.close({ linger: 0 })));
}
