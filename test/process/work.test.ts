/**
 * What a message costs in work that can be counted: a change that reads or writes more often, or allocates or copies more, shows
 * here on any machine, however busy. Each bound is a tenth above what was measured, and a third for system calls, of which there
 * are more when writes come apart.
 */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { LONG } from "../support/long.js";
import { Child, ROOT } from "./child.js";

/** Calls and pieces of memory for each message, of both sides; bytes of memory and of copies in times of the message. */
interface Work {
  readonly calls: number;
  readonly pieces: number;
  readonly allocated: number;
  readonly copied: number;
  /** Bytes of objects; absent: not counted. */
  readonly heap?: number;
}

const BOUNDS: Readonly<Record<string, Work>> = {
  // Into the sender's slab, out of memory of 64 KiB a read.
  "tcp:many:64:40000": { calls: 0.003, pieces: 0.0038, allocated: 1.17, copied: 1.11 },
  "tcp:batches:64:40000": { calls: 0.003, pieces: 0.003, allocated: 0.4, copied: 1.11 },
  // By reference, read where they stay; the 8 KiB of the read that brings the header are copied.
  "tcp:many:65536:800": { calls: 3.2, pieces: 2.3, allocated: 1.11, copied: 0.14 },
  // Encoded once for ten subscribers, copied into the slab of each, and out of nothing.
  "publish:many:64:4000": { calls: 0.05, pieces: 0.06, allocated: 18, copied: 6 },
  // Sealed and opened in memory of WebAssembly, into which and out of which both sides copy.
  "curve:many:64:40000": { calls: 0.0036, pieces: 0.0078, allocated: 2.87, copied: 6.8 },
  "inproc:many:64:40000": { calls: 0.001, pieces: 0.001, allocated: 1.16, copied: 1.1 },
};

/** Of the long form. */
const MORE: Readonly<Record<string, Work>> = {
  "tcp:await:64:40000": { calls: 0.0033, pieces: 0.0038, allocated: 1.17, copied: 1.11 },
  "tcp:many:1024:20000": { calls: 0.04, pieces: 0.053, allocated: 1.13, copied: 1.14 },
  "tcp:batches:1024:20000": { calls: 0.04, pieces: 0.037, allocated: 0.1, copied: 1.12 },
  "tcp:batches:65536:800": { calls: 3.2, pieces: 1.2, allocated: 0.05, copied: 0.14 },
  // Into memory that is used again, as a queue of 1,000 leaves it.
  "tcp:copies:65536:3000": { calls: 3.2, pieces: 1.5, allocated: 0.5, copied: 1.24 },
  "tcp:many:8000000:8": { calls: 40, pieces: 5, allocated: 1.1, copied: 0.15 },
  "inproc:many:65536:800": { calls: 0.02, pieces: 2.3, allocated: 1.11, copied: 1.1 },
};

/**
 * A request and its answer over a broker, a set and its publication: messages of all three, or both, ends. A small body of a request,
 * and of its answer, is copied once more where others of its turn may follow it.
 */
const PATTERNS: Readonly<Record<string, Work>> = {
  "majordomo:single:64:500": { calls: 10.7, pieces: 8.9, allocated: 10.7, copied: 14 },
  // The first small messages of a turn leave in growing writes, so that the peer begins with them: twice the calls of one write.
  "clone:pipelined:64:5000": { calls: 0.033, pieces: 4.5, allocated: 6.5, copied: 7.6 },
  "clone:single:64:500": { calls: 5.4, pieces: 6.7, allocated: 7.9, copied: 11.2 },
};

/**
 * A socket that connects, talks once and closes, and the other end. Of the system calls most are of node:net and the two
 * writes of each end, with the reads that they cause; all options copied for each socket were 90,000 bytes more, and handshakes
 * that are taken apart each time, though the peer's is known, 8 pieces of memory and 3,500 bytes.
 */
const CONNECTIONS: Readonly<Record<string, Work>> = {
  "connections:once:16:200": { calls: 12, pieces: 6, allocated: 28, copied: 7, heap: 52_000 },
};

/**
 * A request that Titanic keeps on disk, at its client, a broker and Titanic. Of thousands that are under way the collector copies what
 * each of them holds, so their memory is their time: with three functions that wait in place of one at the client, and a copy of each
 * text, it was 20,000 bytes and 20 pieces; with two, 16,500 bytes and half as much again of the client's processor time.
 */
const KEPT: Readonly<Record<string, Work>> = {
  "titanic:pipelined:64:3000": { calls: 0.12, pieces: 8.9, allocated: 14.6, copied: 14, heap: 16_700 },
};

const NODE_MAJOR = Number.parseInt(process.versions.node, 10);

/**
 * Bytes of objects of a request of Majordomo at its client, broker and worker: 3,200 with Node.js 20; with an object for each
 * message of a batch 4,860. For that, a client and a worker copy a body once more: into the memory where a batch is gathered.
 * Later versions of Node.js have their bounds from before.
 */
const MAJORDOMO: Readonly<Record<string, Work>> = {
  "majordomo:pipelined:64:5000": {
    calls: 0.092,
    pieces: 0.08,
    allocated: 8.6,
    copied: 16.8,
    heap: NODE_MAJOR < 22 ? 3_550 : NODE_MAJOR < 24 ? 5_500 : 5_900,
  },
};

/** So that no collection comes between, and the heap is what was allocated. */
const LARGE_YOUNG_GENERATION = ["--expose-gc", "--min-semi-space-size=64", "--max-semi-space-size=64"];

describe.skipIf(process.platform !== "linux" && "counts system calls by /proc/self/io")(
  "costs no more system calls, memory and copies than it did:",
  () => {
    it("a message", () => compare(LONG ? { ...BOUNDS, ...MORE } : BOUNDS), 40_000);
    it.runIf(LONG)("a request of Majordomo, and a set of a Clone", () => compare(PATTERNS), 40_000);
    it("a pipelined request of Majordomo", () => compare(MAJORDOMO, LARGE_YOUNG_GENERATION), 40_000);
    it.runIf(LONG)("a request of Titanic", () => compare(KEPT, LARGE_YOUNG_GENERATION), 40_000);
    it.runIf(LONG)("a connection", () => compare(CONNECTIONS, LARGE_YOUNG_GENERATION), 40_000);
  },
);

/** A busy machine only adds work, since writes and batches come apart there: what is beyond a bound is so each time. */
async function compare(bounds: Readonly<Record<string, Work>>, flags: readonly string[] = []): Promise<void> {
  let beyond: readonly string[] = [];
  for (let looks = 0; looks === 0 || (looks < 8 && beyond.length > 0); looks++)
    beyond = await beyondOf(bounds, flags);
  expect(beyond).toEqual([]);
}

async function beyondOf(
  bounds: Readonly<Record<string, Work>>,
  flags: readonly string[],
): Promise<readonly string[]> {
  const scenarios = Object.keys(bounds);
  const program = join(ROOT, "test/process/work-program.js");
  // A busy machine answers late.
  const quiet = "--disable-warning=SHOAL_UNREACHABLE";
  const child = new Child(process.execPath, [...flags, quiet, program, ...scenarios]);
  const { code, stdout, stderr } = await child.outcome;
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const results = JSON.parse(stdout) as Work[];
  return scenarios.flatMap((scenario, i) =>
    (Object.keys(bounds[scenario] ?? {}) as (keyof Work)[]).flatMap((what) => {
      const [is, most] = [results[i]?.[what] ?? Number.NaN, bounds[scenario]?.[what] ?? 0];
      return is <= most ? [] : [`${scenario}: ${what} ${is}, at most ${most}`];
    }),
  );
}
