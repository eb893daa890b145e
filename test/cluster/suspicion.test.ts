/**
 * How long a member is suspected before it is lost, against numbers that were computed by hand:
 *
 *   confirmed    (suspicionBase + suspicionStep * log10(members)) * probeInterval
 *   unconfirmed  suspicionMax times as long
 *   in between   each further accuser takes off less than the one before: log(accusers) / log(wanted + 1) of the difference
 */
import { describe, expect, it } from "vitest";
import { Suspicion } from "../../src/cluster/membership/members.js";
import { PROFILES } from "../../src/cluster/profiles.js";

/** Of the difference between the longest and the shortest time, what the second of three further accusers leaves: 1 - log(3) / log(4). */
const TWO_OF_THREE = 0.207_519;

const SINCE = 1_000;

/** ms until the member is lost. */
function timeout(profile: keyof typeof PROFILES, members: number, accusers: number, wanted: number): number {
  const suspicion = new Suspicion(PROFILES[profile], members, SINCE, [1]);
  for (let accuser = 2; accuser <= accusers; accuser++) suspicion.accuse([accuser], wanted);
  suspicion.update(wanted);
  return suspicion.deadline - SINCE;
}

describe("a suspicion", () => {
  it.each([
    // profile, members, accusers, wanted further ones, ms
    ["lan", 10, 1, 3, 6_000],
    ["lan", 10, 2, 3, 3_500],
    ["lan", 10, 3, 3, 1_000 + TWO_OF_THREE * 5_000],
    ["lan", 10, 4, 3, 1_000],
    ["lan", 1_000, 1, 3, 9_000],
    ["lan", 1_000, 4, 3, 1_500],
    ["wan", 100, 1, 3, 45_000],
    ["wan", 100, 4, 3, 7_500],
    ["local", 10, 1, 3, 3_600],
    // Of two there is nobody who could confirm it, and of three one.
    ["lan", 2, 1, 0, 825.257],
    ["lan", 3, 1, 1, 5_215.682],
    ["lan", 3, 2, 1, 869.28],
  ] as const)("with %s, of %i members, by %i accusers of whom %i more can be: %f ms", (profile, members, accusers, wanted, ms) => {
    expect(timeout(profile, members, accusers, wanted)).toBeCloseTo(ms, 1);
  });

  it("is not shorter by who has accused before, nor by more accusers than are wanted", () => {
    const suspicion = new Suspicion(PROFILES.lan, 10, 0, [1]);
    const accusers = [[1], [2, 3], [3, 2, 1], [4], [5]];
    const isShorter = accusers.map((by) => suspicion.accuse(by, 3));
    expect(isShorter).toEqual([false, true, false, true, false]);
    expect(suspicion.accusers).toEqual([1, 2, 3, 4]);
  });

  it("is confirmed where those who have not accused are gone meanwhile", () => {
    const suspicion = new Suspicion(PROFILES.lan, 10, 0, [1, 2, 3]);
    suspicion.update(3);
    const before = suspicion.deadline;
    suspicion.update(1);
    expect([before > 2_000, suspicion.deadline]).toEqual([true, 1_000]);
  });
});
