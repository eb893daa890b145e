/** Who takes which vacant role, and who gives way. */
import { describe, expect, it } from "vitest";
import { isOutranked, type RoleMember, roleTag, vacancyFor } from "../../src/cluster/roles.js";
import { Random } from "../../src/testing/random.js";

const ROLES = ["primary", "backup"];

function member(id: string, start: number, role: string, isDraining = false): RoleMember {
  return { id, incarnation: { start }, tags: ["eu", roleTag("map", role)], isDraining };
}

describe("a vacant role", () => {
  it("is the oldest spare's; of two roles the next one has the second", () => {
    const members = [member("a", 3, "spare"), member("b", 1, "spare"), member("c", 2, "spare")];
    const taken = members.map(({ id }) => vacancyFor(id, members, "map", ROLES));
    expect(taken).toEqual([undefined, "primary", "backup"]);
    expect(vacancyFor("b", members, "other", ROLES)).toBeUndefined();
    expect(vacancyFor("x", members, "map", ROLES)).toBeUndefined();
  });

  it("is not vacant while its holder drains, and is not for a spare that drains", () => {
    const members = [member("a", 1, "primary", true), member("b", 2, "spare", true), member("c", 3, "spare")];
    expect(members.map(({ id }) => vacancyFor(id, members, "map", ROLES))).toEqual([
      undefined,
      undefined,
      "backup",
    ]);
  });

  it("goes by the id where two were started in one millisecond", () => {
    const members = [member("b", 1, "spare"), member("a", 1, "spare")];
    expect(members.map(({ id }) => vacancyFor(id, members, "map", ["one"]))).toEqual([undefined, "one"]);
  });
});

describe("two holders of a role", () => {
  it("are the older one, and one that gives way", () => {
    const members = [member("a", 2, "primary"), member("b", 1, "primary"), member("c", 0, "backup")];
    const tag = roleTag("map", "primary");
    expect(members.map(({ id }) => isOutranked(id, members, tag))).toEqual([true, false, true]);
    expect(isOutranked("c", members, roleTag("map", "backup"))).toBe(false);
  });
});

it("members that take, give way, come and go in any order end with one holder of each role", () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = new Random(seed);
    /** What each knows of the others may be old; in the end all know all. */
    let members: RoleMember[] = [];
    let next = 0;
    const look = (self: RoleMember, known: readonly RoleMember[]): RoleMember => {
      const role = vacancyFor(self.id, known, "map", ROLES);
      if (role !== undefined) return { ...self, tags: [roleTag("map", role)] };
      const [own] = self.tags as [string];
      return own !== roleTag("map", "spare") && isOutranked(self.id, known, own)
        ? { ...self, tags: [roleTag("map", "spare")] }
        : self;
    };
    let old = members;
    for (let step = 0; step < 40; step++) {
      const kind = random.integer(0, 5);
      if (kind === 0) old = members;
      if (kind === 1 || members.length < 3) {
        members = [
          ...members,
          { ...member(`m${next}`, next >> 1, "spare"), tags: [roleTag("map", "spare")] },
        ];
        next += 1;
      } else if (kind === 2) members = members.filter((each) => each !== random.pick(members));
      else {
        const self = random.pick(members);
        const known =
          random.integer(0, 1) === 0
            ? old.filter(({ id }) => id !== self.id)
            : members.filter(({ id }) => id !== self.id);
        const after = look(self, [...known, self]);
        members = members.map((each) => (each === self ? after : each));
      }
    }
    // One after the other, until nobody changes anything: each round settles one claim at least.
    for (let round = 0; round < members.length + 2; round++)
      for (const { id } of members) {
        const self = members.find((each) => each.id === id) as RoleMember;
        const after = look(self, members);
        members = members.map((each) => (each === self ? after : each));
      }
    const holders = ROLES.map(
      (role) => members.filter(({ tags }) => tags.includes(roleTag("map", role))).length,
    );
    const all = holders.reduce((sum, count) => sum + count, 0);
    expect({ seed, most: Math.max(...holders) <= 1, all }).toEqual({
      seed,
      most: true,
      all: Math.min(2, members.length),
    });
  }
});
