/** Who is asked whether it is there, and when, by the prober alone. */
import { expect, it } from "vitest";
import { Health } from "../../src/cluster/membership/health.js";
import { Member, Members } from "../../src/cluster/membership/members.js";
import { Prober } from "../../src/cluster/membership/prober.js";
import { PROFILES } from "../../src/cluster/profiles.js";

function member(n: number): Member {
  return new Member((n + 1).toString(16).padStart(32, "0"), `n${n}`, `n${n}:1`, 1, 0, 0);
}

it("asks a newcomer that is to answer before it counts as reached again and again until it does, whenever its turn is", () => {
  const members = new Members(member(0));
  // All have their turn within 50 s.
  for (let n = 1; n <= 99; n++) members.add(member(n));
  const newcomer = member(100);
  members.add(newcomer);
  const asked: number[] = [];
  const reached: Member[] = [];
  const acks: [Member, number][] = [];
  let answers = false;
  let now = 0;
  const prober = new Prober(
    PROFILES.lan,
    members,
    new Health(false),
    () => 0.9,
    {
      ping: (to, seq) => {
        if (to === newcomer) asked.push(now);
        if (to !== newcomer || answers) acks.push([to, seq]);
      },
      ask: () => undefined,
      relayed: () => undefined,
      failed: () => expect.unreachable(),
      unreached: () => undefined,
      reached: (who) => reached.push(who),
      hearsNobody: () => false,
    },
    now,
  );
  const run = (until: number): void => {
    while (prober.wake() <= until) {
      now = prober.wake();
      newcomer.lastHeard = now; // What it sends comes.
      prober.tick(now);
      for (const [from, seq] of acks.splice(0)) prober.onAck(now, from, seq, false);
    }
  };
  prober.arrived(now, newcomer, true);
  expect(newcomer.unreached).toBe(true);
  run(9_000);
  expect(asked.filter((at) => at > 6_000).length).toBeGreaterThan(1);
  expect(reached).toEqual([]);
  answers = true;
  run(10_000);
  expect(reached).toEqual([newcomer]);
  asked.length = 0;
  run(20_000);
  expect(asked).toEqual([]);
});
