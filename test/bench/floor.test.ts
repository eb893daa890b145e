/** What is measured of those who answer, and of who asks them. */
import { expect, it } from "vitest";
import { questionsTo, timesOf } from "../../bench/peers/node/floor.js";
import type { Side } from "../../bench/peers/node/side.js";
import { turn } from "../contract/support/wait.js";

function side() {
  const seen: string[] = [];
  const fake = { warmup: 1, count: 2, begin: () => seen.push("begin"), end: () => seen.push("end") };
  return { seen, side: fake as unknown as Side };
}

it("the answers that count are measured until the last one has left, and nothing after that", async () => {
  const { seen, side: player } = side();
  const asked = questionsTo(3, player);
  for (let k = 0; k < 3; k++) asked();
  expect(seen).toEqual([]);
  for (let k = 0; k < 6; k++) asked();
  expect(seen).toEqual(["begin"]);
  await turn();
  for (let k = 0; k < 20; k++) asked();
  await turn();
  expect(seen).toEqual(["begin", "end"]);
});

it("the times of the questions that count are taken", async () => {
  const { seen, side: player } = side();
  let k = 0;
  const { table } = await timesOf(player, async () => {
    seen.push("ask");
    k += 1;
    return k;
  });
  expect(seen).toEqual(["ask", "begin", "ask", "ask", "end"]);
  expect(table["0"]).toBeCloseTo(2_000, -1);
  expect(table["100"]).toBeCloseTo(3_000, -1);
});
