import { expect, test } from "vitest";
import { BatchShare } from "../../src/sockets/inbox.js";

/** What each of `count` sockets takes at most in the last of some rounds, in which each takes `batches` one after the other. */
function lastRound(count: number, batches: number): number[][] {
  const shares = Array.from({ length: count }, () => new BatchShare());
  let round: number[][] = [];
  for (let i = 0; i < 5; i++)
    round = shares.map((share) => Array.from({ length: batches }, () => share.next()));
  return round;
}

test("a socket that receives alone takes 1,000 messages at once, and so do some few", () => {
  expect(lastRound(1, 2)).toEqual([[1_000, 1_000]]);
  expect(lastRound(6, 2).flat()).toEqual(Array.from({ length: 12 }, () => 1_000));
});

test("one that goes on alone has all of it again", () => {
  const shares = Array.from({ length: 50 }, () => new BatchShare());
  for (let i = 0; i < 3; i++) for (const share of shares) share.next();
  const [one] = shares as [BatchShare];
  const taken = Array.from({ length: 60 }, () => one.next());
  expect(taken[0]).toBe(128);
  expect(taken.at(-1)).toBe(1_000);
});
