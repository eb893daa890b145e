// @ts-check
/** What the reader of the demo sees: a bar on a terminal, plain lines elsewhere, and tables at the end. */
import { SingleBar } from "cli-progress";
import Table from "cli-table3";
import { serialize } from "./count.js";

/** Problems and differences shown one by one. */
const SHOWN = 5;
/** Characters of a line that is shown in a difference. */
const WIDTH = 160;

/** @typedef {{ at(done: number, bytes: number): void, end(): void }} Bar */
/** @typedef {import("./count.js").Tally} Tally */

export class Report {
  #out;
  /** @type {SingleBar | undefined} */
  #bar = undefined;

  /** @param {NodeJS.WriteStream} out */
  constructor(out = process.stdout) {
    this.#out = out;
  }

  /** @param {string} text */
  line(text = "") {
    this.#out.write(`${text}\n`);
  }

  /**
   * @param {string} processes
   * @param {number} files
   */
  started(processes, files) {
    this.line(`Processes: ${processes}`);
    this.line(`Files:     ${number(files)}`);
  }

  /**
   * @param {string} label
   * @param {number} total
   * @returns {Bar}
   */
  progress(label, total) {
    return this.#out.isTTY ? this.#bars(label, total) : this.#lines(label, total);
  }

  /** Takes a bar away that was not ended, so that the terminal is usable again. */
  stopProgress() {
    this.#bar?.stop();
    this.#bar = undefined;
  }

  /** @param {string[]} problems */
  problems(problems) {
    for (const problem of problems.slice(0, SHOWN)) this.line(`Left out:  ${problem}`);
    if (problems.length > SHOWN) this.line(`           and ${number(problems.length - SHOWN)} more`);
  }

  /** @param {import("./protocol.js").WorkerShare[]} shares */
  shares(shares) {
    const table = new Table({
      head: ["worker", "files", "text"],
      colAligns: ["left", "right", "right"],
      ...PLAIN,
    });
    for (const { worker, files, bytes } of shares) table.push([worker, number(files), megabytes(bytes)]);
    if (shares.length > 0) this.line(table.toString());
  }

  /** @param {[string, number][]} top */
  top(top) {
    if (top.length > 0)
      this.line(`Most frequent words: ${top.map(([word, n]) => `${word} ${number(n)}`).join(", ")}`);
  }

  /** @param {{ workers: number, result: import("./run.js").Distributed, tally: Tally, seconds: number }} runs */
  runs({ workers, result, tally, seconds }) {
    const table = new Table({
      head: ["", `${workers} ${workers === 1 ? "worker" : "workers"}`, "one process"],
      colAligns: ["left", "right", "right"],
      ...PLAIN,
    });
    const { totals } = result;
    table.push(
      ["files", number(totals.files), number(tally.totals.files)],
      ["  text", number(totals.text), number(tally.totals.text)],
      ["  binary, skipped", number(totals.binary), number(tally.totals.binary)],
      ["  too large, skipped", number(totals.tooLarge), number(tally.totals.tooLarge)],
      ["  unreadable", number(totals.unreadable), number(tally.totals.unreadable)],
      ["text", megabytes(totals.bytes), megabytes(tally.totals.bytes)],
      ["words", number(totals.words), number(tally.totals.words)],
      ["different words", number(totals.distinct), number(tally.distinct)],
      ["seconds", result.seconds.toFixed(2), seconds.toFixed(2)],
      ["files per second", rate(totals.files, result.seconds), rate(tally.totals.files, seconds)],
      ["messages", number(totals.messages), "-"],
      ["messages per second", rate(totals.messages, result.seconds), "-"],
    );
    this.line(table.toString());
  }

  /**
   * Compares the two runs, and says what differs.
   *
   * @param {string[]} together
   * @param {string[]} alone
   * @returns {boolean}
   */
  agreement(together, alone) {
    const ours = serialize(together);
    const theirs = serialize(alone);
    if (ours.bytes.equals(theirs.bytes)) {
      this.line(`Both runs agree: ${number(ours.bytes.length)} bytes, sha256 ${ours.digest}`);
      return true;
    }
    this.line(`The runs differ: sha256 ${ours.digest} and ${theirs.digest}`);
    const differences = differing(together, alone);
    for (const { line, from } of differences.slice(0, SHOWN)) {
      this.line(`  only ${from}: ${line.length > WIDTH ? `${line.slice(0, WIDTH)}…` : line}`);
    }
    if (differences.length > SHOWN) this.line(`  and ${number(differences.length - SHOWN)} more lines`);
    this.line("If a file changed while the demo ran, run it again; if not, this is a fault of shoal.");
    return false;
  }

  /**
   * @param {string} label
   * @param {number} total
   * @returns {Bar}
   */
  #bars(label, total) {
    const bar = new SingleBar({
      format: `${label.padEnd(8)} [{bar}] {value}/{total} files  {text}  {duration_formatted}`,
      stream: this.#out,
      hideCursor: true,
    });
    bar.start(total, 0, { text: "" });
    this.#bar = bar;
    return {
      at: (done, bytes) => bar.update(done, { text: megabytes(bytes) }),
      end: () => this.stopProgress(),
    };
  }

  /**
   * A line for each fifth of the way.
   *
   * @param {string} label
   * @param {number} total
   * @returns {Bar}
   */
  #lines(label, total) {
    let next = total / 5;
    return {
      at: (done, bytes) => {
        if (done < next || done === 0) return;
        this.line(`${label.padEnd(8)} ${number(done)} of ${number(total)} files, ${megabytes(bytes)}`);
        while (next <= done) next += total / 5;
      },
      end: () => undefined,
    };
  }
}

/** No colours, since the tables go into files and logs as well, and no line between the rows. */
const PLAIN = {
  style: { head: [], border: [] },
  chars: { mid: "", "left-mid": "", "mid-mid": "", "right-mid": "" },
};

/**
 * Lines that only one side has, in order.
 *
 * @param {string[]} together
 * @param {string[]} alone
 */
function differing(together, alone) {
  const inAlone = new Set(alone);
  const inTogether = new Set(together);
  return [
    ...together.filter((line) => !inAlone.has(line)).map((line) => ({ line, from: "together" })),
    ...alone.filter((line) => !inTogether.has(line)).map((line) => ({ line, from: "alone" })),
  ].sort((a, b) => (a.line < b.line ? -1 : 1));
}

/** @param {number} value */
function number(value) {
  return Math.round(value).toLocaleString("en-US");
}

/** @param {number} bytes */
function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/**
 * @param {number} count
 * @param {number} seconds
 */
function rate(count, seconds) {
  return number(seconds > 0 ? count / seconds : 0);
}
