// @ts-check
/**
 * The work itself, the same for the workers and for the single process: which
 * files there are, what one file holds, and what all of them add up to. No socket.
 */
import { isAscii } from "node:buffer";
import { createHash } from "node:crypto";
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";

/** Bytes looked at for a zero byte, which makes a file a binary one. */
const PROBE = 8_192;
/** Bytes of the largest text file that is counted; a larger one is named and left out. */
export const MAX_TEXT = 16 * 1_024 * 1_024;
/** Characters of the longest word; a longer run of letters is data, such as Base64. */
const MAX_WORD = 64;
/** Characters searched for words at a time, so that a large file needs no array of all its words. */
const SLICE = 262_144;

const ASCII_WORDS = /[a-z]+/g;
const WORDS = /\p{L}+/gu;

/**
 * What one file holds. `words` and `counts` go together: the words of the file,
 * lower-case, each once, and how often each occurs.
 *
 * @typedef {{ status: "text", bytes: number, sha256: string, words: string[], counts: number[] }} TextCount
 * @typedef {{ status: "binary" } | { status: "too-large" } | { status: "unreadable", code: string }} Skipped
 * @typedef {TextCount | Skipped} FileCount
 */

/**
 * Every regular file under a folder, as sorted relative paths with `/`. Links are not followed.
 *
 * @param {string} dir
 * @returns {Promise<{ paths: string[], problems: string[] }>} problems: folders that could not be read
 */
export async function listFiles(dir) {
  /** @type {string[]} */
  const paths = [];
  /** @type {string[]} */
  const problems = [];
  const folders = [""];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    try {
      for (const entry of await readdir(join(dir, folder), { withFileTypes: true })) {
        const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
        if (entry.isDirectory()) folders.push(path);
        else if (entry.isFile()) paths.push(path);
      }
    } catch (error) {
      problems.push(`${folder || "."}: ${codeOf(error)}`);
    }
  }
  return { paths: paths.sort(), problems: problems.sort() };
}

/**
 * Reads and counts one file. A file that cannot be read is a result, too.
 *
 * @param {string} dir
 * @param {string} path
 * @returns {Promise<FileCount>}
 */
export async function countFile(dir, path) {
  /** @type {import("node:fs/promises").FileHandle | undefined} */
  let file;
  try {
    file = await open(join(dir, path), "r");
    const { size } = await file.stat();
    const probe = Buffer.alloc(Math.min(PROBE, size));
    const { bytesRead } = await file.read(probe, 0, probe.length, 0);
    if (probe.subarray(0, bytesRead).includes(0)) return { status: "binary" };
    if (size > MAX_TEXT) return { status: "too-large" };
    return countText(await file.readFile());
  } catch (error) {
    return { status: "unreadable", code: codeOf(error) };
  } finally {
    await file?.close();
  }
}

/**
 * Counts the words of a text: runs of letters, in lower case. Bytes that are no UTF-8 are no letters.
 *
 * @param {Buffer} content
 * @returns {TextCount}
 */
export function countText(content) {
  const ascii = isAscii(content);
  const text = content.toString(ascii ? "latin1" : "utf8").toLowerCase();
  /** @type {Map<string, number>} */
  const found = new Map();
  for (let start = 0; start < text.length; ) {
    const end = sliceEnd(text, start + SLICE);
    for (const word of text.slice(start, end).match(ascii ? ASCII_WORDS : WORDS) ?? []) {
      if (word.length <= MAX_WORD) found.set(word, (found.get(word) ?? 0) + 1);
    }
    start = end;
  }
  return {
    status: "text",
    bytes: content.length,
    sha256: createHash("sha256").update(content).digest("hex"),
    words: [...found.keys()],
    counts: [...found.values()],
  };
}

/** Adds files up. Two tallies of the same files give the same lines, in whatever order they were added. */
export class Tally {
  /** @type {Map<string, string>} */
  #files = new Map();
  /** @type {Map<string, number>} */
  #words = new Map();
  /** @type {string[]} */
  #unreadable = [];
  totals = { files: 0, text: 0, binary: 0, tooLarge: 0, unreadable: 0, bytes: 0, words: 0 };

  /**
   * @param {string} path
   * @param {FileCount} count
   */
  add(path, count) {
    const { totals } = this;
    totals.files += 1;
    let line = `file ${JSON.stringify(path)} ${count.status}`;
    if (count.status === "text") {
      let total = 0;
      for (const [i, word] of count.words.entries()) {
        const times = count.counts[i] ?? 0;
        total += times;
        this.#words.set(word, (this.#words.get(word) ?? 0) + times);
      }
      line += ` ${count.bytes} ${count.sha256} ${total}`;
      totals.text += 1;
      totals.bytes += count.bytes;
      totals.words += total;
    } else if (count.status === "unreadable") {
      line += ` ${count.code}`;
      this.#unreadable.push(`${path}: ${count.code}`);
      totals.unreadable += 1;
    } else if (count.status === "binary") totals.binary += 1;
    else totals.tooLarge += 1;
    this.#files.set(path, line);
  }

  /** How many different words there are. */
  get distinct() {
    return this.#words.size;
  }

  /** Files that could not be read, with the reason. */
  get unreadable() {
    return this.#unreadable.toSorted();
  }

  /**
   * The most frequent words, the more frequent first, then by the alphabet.
   *
   * @param {number} count
   * @returns {[word: string, times: number][]}
   */
  top(count) {
    return [...this.#words].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).slice(0, count);
  }

  /** Everything, as text: a line for each file, then one for each word, sorted. This is what two runs must agree on. */
  lines() {
    const files = [...this.#files].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, line]) => line);
    const words = [...this.#words]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([word, n]) => `word ${word} ${n}`);
    return files.concat(words);
  }
}

/**
 * The bytes of a tally's lines, and their digest.
 *
 * @param {string[]} lines
 */
export function serialize(lines) {
  const bytes = Buffer.from(`${lines.join("\n")}\n`);
  return { bytes, digest: createHash("sha256").update(bytes).digest("hex") };
}

/**
 * Where a slice that should end at `wanted` may end: never within a word.
 *
 * @param {string} text
 * @param {number} wanted
 */
function sliceEnd(text, wanted) {
  let end = wanted;
  while (end < text.length && !isSeparator(text.charCodeAt(end))) end += 1;
  return Math.min(end, text.length);
}

/**
 * Whether a character is in ASCII and no letter: the one place where every text can be cut.
 *
 * @param {number} code
 */
function isSeparator(code) {
  return code < 0x61 || (code > 0x7a && code < 0x80);
}

/** @param {unknown} error */
function codeOf(error) {
  const { code } = /** @type {{ code?: unknown }} */ (error ?? {});
  return typeof code === "string" ? code : String(error);
}
