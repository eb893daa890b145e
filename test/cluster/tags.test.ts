import { describe, expect, it } from "vitest";
import { changeTags, checkServiceName, createDetails, tryDetails } from "../../src/cluster/details.js";
import { CompiledResolver, matches } from "../../src/cluster/resolver.js";
import fc from "../support/properties.js";

describe("changes of tags", () => {
  it("refuse an invalid value", () => {
    for (const bad of [
      { add: ["a"] },
      { append: "a" },
      { append: [1] },
      { map: ["a"] },
      { map: [["a"]] },
      1,
      null,
    ])
      expect(() => changeTags([], [bad as never])).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });
});

const member = (id: string, name: string, ...tags: string[]) => ({
  id,
  name,
  draining: id === "3",
  details: { tags, endpoints: [] },
});
const self = member("1", "web@h1", "front", "v1");
const members = [
  self,
  member("2", "billing@h1", "billing", "eu"),
  member("3", "billing@h2", "billing", "us"),
];
const ids = (found: readonly { id: string }[]): string => found.map(({ id }) => id).join("");

describe("resolving", () => {
  it("finds members by tags, and by those that every member has", () => {
    const of = (...tags: string[]): string =>
      ids(new CompiledResolver([{ has: tags }]).select(members, self));
    expect(of("billing")).toBe("23");
    expect(of("billing", "eu")).toBe("2");
    expect(of("localhost")).toBe("12");
    expect(of("@h2", "billing")).toBe("3");
    expect(of("self")).toBe("1");
    expect(of("draining")).toBe("3");
    expect(of("billing@h2")).toBe("3");
    expect(of("2")).toBe("2");
    expect(of("none")).toBe("");
    expect(of()).toBe("123");
  });

  it("takes no member's word for a tag that is true of it or not", () => {
    const tags = ["localhost", "self", "draining", "liar"];
    const liar = { ...member("4", "liar@h2"), details: { tags, endpoints: ["self=tcp://10.0.0.1:5"] } };
    const of = (tag: string): string =>
      ids(new CompiledResolver([{ has: [tag] }]).select([...members, liar], self));
    expect(tags.map(of)).toEqual(["12", "1", "3", "4"]);
    for (const tag of tags.slice(0, 3)) {
      const refused = expect.objectContaining({ code: "EINVAL", message: expect.stringMatching(/built-in/) });
      expect(() => createDetails(1, [tag], {}, [])).toThrow(refused);
      expect(() => checkServiceName(tag)).toThrow(refused);
      expect(tryDetails(1, [tag], {}, [])).toMatchObject({ tags: [tag] }); // From another node it is no reason to refuse all.
    }
  });

  it("refuses an invalid regular expression, an unknown mode and an unknown condition", () => {
    expect(() => new CompiledResolver(["regexp", { has: ["("] }])).toThrow(/invalid regular expression/);
    expect(() => new CompiledResolver(["glob" as never])).toThrow(/equal, match, regexp/);
    expect(() => new CompiledResolver([{ any: [] } as never])).toThrow(/has, not, exact, some/);
  });

  it("matches patterns as regular expressions would", () => {
    const piece = fc.constantFrom("a", "b", "*", "?", "[ab]", "\\*", "[a-c]");
    const text = fc.stringMatching(/^[abc*]{0,8}$/);
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), text, (pieces, subject) => {
        const source = pieces.map((each) => (each === "*" ? ".*" : each === "?" ? "." : each)).join("");
        expect(matches(pieces.join(""), subject)).toBe(new RegExp(`^${source}$`).test(subject));
      }),
      { numRuns: 2_000 },
    );
  });

  it("takes no exponential time", () => {
    const start = performance.now();
    expect(matches("*a".repeat(60), `${"a".repeat(200)}b`)).toBe(false);
    expect(performance.now() - start).toBeLessThan(1_000);
  });
});
