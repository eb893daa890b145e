// @ts-check
/**
 * The demo from start to end: the processes count, a single process counts the
 * same files again, and both have to agree byte for byte.
 *
 *   start ----> ready ----> work ----> ask ----> stop ----> check
 *     |           |          |          |          |
 *     +-----------+----------+----------+----------+----> a process ended, no report, Ctrl-C: all are ended, failure
 */
import { fileURLToPath } from "node:url";
import { Dealer, Publisher, Pull, Subscriber, TimeoutError } from "shoal";
import { Children } from "./children.js";
import { countFile, serialize, Tally } from "./count.js";
import { ANY_PORT, PROGRESS, progressCodec, queryCodec, reportCodec, START, STOP } from "./protocol.js";

/** ms without any report after which the work counts as stuck. */
const PATIENCE = 60_000;
/** Lines in one answer of the sink. */
const PAGE = 20_000;
/** Words in the table of the most frequent ones. */
const TOP = 10;

/** @param {string} file */
const program = (file) => fileURLToPath(new URL(file, import.meta.url));
/** What the processes run; tests put something else in the place of one. */
export const PROGRAMS = {
  ventilator: program("ventilator.js"),
  worker: program("worker.js"),
  sink: program("sink.js"),
};

/**
 * @typedef {import("./report.js").Report} Report
 * @typedef {import("./protocol.js").TotalsAnswer} TotalsAnswer
 * @typedef {import("./protocol.js").WorkerShare} WorkerShare
 * @typedef {{ totals: TotalsAnswer, shares: WorkerShare[], top: [string, number][], lines: string[], seconds: number }} Distributed
 *
 * What runDemo takes; patience: ms without any report after which the work counts as stuck.
 * @typedef {{ dir: string, workers: number, report: Report, signal: AbortSignal, programs?: typeof PROGRAMS, patience?: number }} Options
 */

/**
 * Runs the whole demo.
 *
 * @param {Options} options
 * @returns {Promise<boolean>} whether both runs agree
 */
export async function runDemo(options) {
  const { dir, workers, report, signal } = options;
  const { paths, problems, result } = await countTogether({
    programs: PROGRAMS,
    patience: PATIENCE,
    ...options,
  });
  report.problems(problems);
  report.shares(result.shares);
  report.top(result.top);

  const started = performance.now();
  const tally = await countAlone(dir, paths, report, signal);
  const seconds = (performance.now() - started) / 1_000;
  report.problems(tally.unreadable);
  report.runs({ workers, result, tally, seconds });
  return report.agreement(result.lines, tally.lines());
}

/**
 * Several processes, over sockets.
 *
 * @param {Required<Options>} options
 * @returns {Promise<{ paths: string[], problems: string[], result: Distributed }>}
 */
async function countTogether({ dir, workers, report, signal, programs, patience }) {
  const children = new Children();
  const control = new Publisher();
  const reports = new Pull({ codec: reportCodec });
  const progress = new Subscriber({ codec: progressCodec });
  const queries = new Dealer({ codec: queryCodec });
  const failure = new AbortController();
  const either = AbortSignal.any([signal, failure.signal]);
  const wait = { signal: either, timeout: patience };
  children.failed.catch((error) => failure.abort(error));

  try {
    await control.bind(ANY_PORT);
    await reports.bind(ANY_PORT);
    const base = { dir, reports: reports.lastEndpoint ?? "", control: control.lastEndpoint ?? "" };
    /** @type {import("./protocol.js").Endpoints} */
    const endpoints = {};
    /** @type {Set<string>} */
    const ready = new Set();
    /** @type {string[]} */
    const paths = [];
    /** @type {string[]} */
    const problems = [];
    /** @param {() => boolean} enough */
    const hear = async (enough) => {
      while (!enough()) {
        const [message] = await reports.receive(wait);
        if (message.type === "bound") Object.assign(endpoints, message.endpoints);
        else if (message.type === "ready") ready.add(message.name);
        else {
          paths.push(...message.paths);
          problems.push(...message.problems);
        }
      }
    };

    children.start(programs.sink, { ...base, name: "sink", endpoints });
    await hear(() => endpoints.results !== undefined);
    progress.connect(endpoints.progress ?? "");
    progress.subscribe(PROGRESS);
    queries.connect(endpoints.queries ?? "");
    children.start(programs.ventilator, { ...base, name: "ventilator", endpoints });
    await hear(() => endpoints.tasks !== undefined);
    for (let i = 1; i <= workers; i++) {
      children.start(programs.worker, { ...base, name: `worker ${i}`, endpoints });
    }
    await hear(() => ready.size === workers + 2);
    // A process that is ready has connected; here main knows that everybody hears it, so "start" and "stop" are not lost.
    await control.waitForSubscribers({ topic: STOP, count: workers + 2, ...wait });
    await control.waitForSubscribers({ topic: START, ...wait });
    report.started(children.describe(), paths.length);

    const began = performance.now();
    await control.send(START);
    const bar = report.progress("together", paths.length);
    for (let finished = false; !finished; ) {
      const [, at] = await progress.receive(wait);
      bar.at(at.done, at.bytes);
      finished = at.finished;
    }
    const seconds = (performance.now() - began) / 1_000;
    bar.end();

    /** @param {import("./protocol.js").Query} query @returns {Promise<any>} */
    const ask = async (query) => {
      await queries.send([query], wait);
      const [answer] = await queries.receive(wait);
      return answer;
    };
    const totals = /** @type {TotalsAnswer} */ (await ask({ ask: "totals" }));
    const shares = /** @type {WorkerShare[]} */ (await ask({ ask: "workers" }));
    const top = /** @type {[string, number][]} */ (await ask({ ask: "top", count: TOP }));
    /** @type {string[]} */
    const lines = [];
    while (lines.length < totals.lines) {
      lines.push(...(await ask({ ask: "lines", from: lines.length, count: PAGE })));
    }
    if (serialize(lines).digest !== totals.digest) throw new Error("The sink's lines do not have its digest");

    children.expectExits();
    await control.send(STOP);
    for (const name of await children.gone()) problems.push(`${name} did not end by itself`);
    return { paths, problems, result: { totals, shares, top, lines, seconds } };
  } catch (error) {
    if (either.aborted) throw either.reason;
    if (error instanceof TimeoutError)
      throw new Error(`Nothing was heard from the processes for ${patience} ms`);
    throw error;
  } finally {
    report.stopProgress();
    children.kill();
    await children.gone();
    await Promise.all([control, reports, progress, queries].map((socket) => socket.close({ linger: 0 })));
  }
}

/**
 * One process, no socket.
 *
 * @param {string} dir
 * @param {string[]} paths
 * @param {Report} report
 * @param {AbortSignal} signal
 */
async function countAlone(dir, paths, report, signal) {
  const tally = new Tally();
  const bar = report.progress("alone", paths.length);
  try {
    for (const path of paths) {
      signal.throwIfAborted();
      tally.add(path, await countFile(dir, path));
      bar.at(tally.totals.files, tally.totals.bytes);
    }
    bar.end();
  } finally {
    report.stopProgress();
  }
  return tally;
}
