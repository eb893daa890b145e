// @ts-check
/** Collects the results, reports the progress of the work, and answers questions about it. */
import { Envelope, Publisher, Pull, Router } from "shoal";
import { isProgram, joinMain, leave, readSettings } from "./child.js";
import { serialize, Tally } from "./count.js";
import { ANY_PORT, PROGRESS, progressCodec, queryCodec, resultCodec } from "./protocol.js";

/** ms between two reports of progress. */
const EVERY = 100;

/**
 * What came in: each file of the plan exactly once.
 */
class Collection {
  tally = new Tally();
  /** @type {Map<string, import("./protocol.js").WorkerShare>} */
  workers = new Map();
  /** @type {number | undefined} */
  total = undefined;
  /** @type {Set<number>} */
  #ids = new Set();
  /** @type {string[] | undefined} */
  #lines = undefined;

  get done() {
    return this.#ids.size;
  }

  get finished() {
    return this.total !== undefined && this.done >= this.total;
  }

  get lines() {
    this.#lines ??= this.tally.lines();
    return this.#lines;
  }

  /** @param {import("./protocol.js").ToSink} message */
  add(message) {
    if (message.type === "plan") {
      this.total = message.files;
      return;
    }
    const { id, path, worker, count } = message;
    if (this.#ids.has(id)) throw new Error(`The result of file ${id} (${path}) came twice`);
    this.#ids.add(id);
    this.tally.add(path, count);
    const share = this.workers.get(worker) ?? { worker, files: 0, bytes: 0 };
    share.files += 1;
    if (count.status === "text") share.bytes += count.bytes;
    this.workers.set(worker, share);
  }
}

export async function runSink(settings = readSettings()) {
  const { reports, control } = joinMain(settings);
  const results = new Pull({ codec: resultCodec });
  const progress = new Publisher({ codec: progressCodec });
  const queries = new Router({ codec: queryCodec });
  for (const socket of [results, progress, queries]) await socket.bind(ANY_PORT);
  await Promise.all([control.ready(), reports.ready()]);
  const endpoints = {
    results: results.lastEndpoint ?? "",
    progress: progress.lastEndpoint ?? "",
    queries: queries.lastEndpoint ?? "",
  };
  await reports.send({ type: "bound", name: settings.name, endpoints });
  // Main hears the first report, too: nobody begins before it has subscribed.
  await progress.waitForSubscribers({ topic: PROGRESS });
  await reports.send({ type: "ready", name: settings.name });

  const collection = new Collection();
  const stop = control.receive().then(() => leave([reports, control, results, progress, queries]));
  await Promise.all([collect(), answerAll(), stop]);

  async function collect() {
    let reported = performance.now();
    for await (const [message] of results) {
      collection.add(message);
      const now = performance.now();
      if (!collection.finished && now - reported < EVERY) continue;
      reported = now;
      const { done, total = 0, finished } = collection;
      const { bytes } = collection.tally.totals;
      await progress.send([PROGRESS, { done, total, bytes, finished }]);
    }
  }

  async function answerAll() {
    for await (const [peer, query] of queries) {
      const answer = answerTo(/** @type {import("./protocol.js").Query} */ (query));
      // The asker is a DEALER: its address is one hop, without a delimiter.
      await queries.reply(new Envelope([/** @type {Buffer} */ (peer)], false), [answer]);
    }
  }

  /** @param {import("./protocol.js").Query} query */
  function answerTo(query) {
    const { tally, lines, workers, total = 0 } = collection;
    switch (query.ask) {
      case "totals": {
        // A task and a result for each file, and the reports.
        const messages = total + results.stats().received + progress.stats().sent;
        const { digest } = serialize(lines);
        return { ...tally.totals, distinct: tally.distinct, messages, lines: lines.length, digest };
      }
      case "workers":
        return [...workers.values()].sort((a, b) => (a.worker < b.worker ? -1 : 1));
      case "top":
        return tally.top(query.count);
      case "lines":
        return lines.slice(query.from, query.from + query.count);
      default:
        return { error: `Cannot answer ${JSON.stringify(query)}` };
    }
  }
}

if (isProgram(import.meta.url)) await runSink();
