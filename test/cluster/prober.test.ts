/** Who is asked whether it is there, and when, by the prober alone. */
import { expect, it } from "vitest";
import { Context } from "../../src/cluster/membership/context.js";
import { Member } from "../../src/cluster/membership/members.js";
import { Prober } from "../../src/cluster/membership/prober.js";
import { PROFILES } from "../../src/cluster/profiles.js";
import { PacketType } from "../../src/cluster/wire/packets.js";

function member(n: number): Member {
  const id = (n + 1).toString(16).padStart(32, "0");
  return new Member({ id, name: `n${n}`, address: `n${n}:1`, start: 1, count: 0 }, 0);
}

it("asks a newMember that is to answer before it counts as reached again and again until it does, whenever its turn is", () => {
  const newMember = member(100);
  const asked: number[] = [];
  const reached: Member[] = [];
  const acks: [Member, number][] = [];
  let answers = false;
  let now = 0;
  const { id, name, address, start } = member(0);
  const context = new Context({
    self: { id, name, address, start },
    profile: PROFILES.lan,
    random: () => 0.9,
    effects: {
      send: (to, { type, seq }) => {
        if (type !== PacketType.PING) return;
        if (to === newMember.address) asked.push(now);
        const from = context.members.live.find((each) => each.address === to) as Member;
        if (from !== newMember || answers) acks.push([from, seq]);
      },
      multicast: () => undefined,
      event: (change) => {
        if (change.type === "reached") reached.push(change.member);
      },
    },
    now,
    localHealth: false,
  });
  const { members } = context;
  // All have their turn within 50 s.
  for (let n = 1; n <= 99; n++) members.add(member(n));
  members.add(newMember);
  const prober = new Prober(context, () => expect.unreachable());
  const run = (until: number): void => {
    while (prober.wake() <= until) {
      now = prober.wake();
      newMember.lastHeard = now; // What it sends comes.
      prober.tick(now);
      for (const [from, seq] of acks.splice(0)) prober.onAck(now, from, seq, false);
    }
  };
  prober.arrived(now, newMember, true);
  expect(newMember.isOneWay).toBe(true);
  run(9_000);
  expect(asked.filter((at) => at > 6_000).length).toBeGreaterThan(1);
  expect(reached).toEqual([]);
  answers = true;
  run(10_000);
  expect(reached).toEqual([newMember]);
  asked.length = 0;
  run(20_000);
  expect(asked).toEqual([]);
});
