/** What the sides of a scenario have to have seen. */
import { expectedChecksum } from "../bodies.js";
import type { Expectation, SideReport } from "../contract.js";

/** `streams` streams of `count` messages each, every one with counters from 0, the warm-up first. */
export function streamsOf(streams: number, size: number, warmup: number, count: number): Expectation {
  const one = Number.parseInt(expectedChecksum(size, warmup, count), 16);
  // 32 bits times a few thousand streams stays below 2^53.
  const checksum = ((one * streams) % 2 ** 32).toString(16).padStart(8, "0");
  return { messages: streams * count, bytes: streams * count * size, checksum, ordered: true };
}

/** Replies to requests 0 … warmup + count - 1, each once, in any order: the replies of several workers overtake. */
export function answersOf(size: number, warmup: number, count: number): Expectation {
  return streamsOf(1, size, warmup, count);
}

/** How many processes `peers` sockets are put into: two where they divide, so that they hold half each. */
export function processesFor(peers: number): number {
  return peers > 1 && peers % 2 === 0 ? 2 : 1;
}

/** The reports of one role. */
export function ofRole(done: readonly SideReport[], role: string): readonly SideReport[] {
  return done.filter((report) => report.role === role);
}

export function sumOf(reports: readonly SideReport[], figure: (report: SideReport) => number): number {
  return reports.reduce((sum, report) => sum + figure(report), 0);
}
