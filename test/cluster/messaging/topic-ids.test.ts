import { describe, expect, it } from "vitest";
import { TopicIds } from "../../../src/cluster/messaging/topic-ids.js";
import { InvalidArgumentError, InvalidStateError } from "../../../src/index.js";
import { LONG } from "../../support/long.js";
import fc from "../../support/properties.js";

/** Numbers one after the other in place of random ones. */
function from(first: number): () => number {
  let next = first;
  return () => next++;
}

describe("ids of topics", () => {
  it("are the program's choice, or random", () => {
    const ids = new TopicIds(from(100));
    expect(ids.create("ping", 2)).toBe(2);
    expect(ids.create("pong")).toBe(100);
    expect(ids.create("pong")).toBe(100);
    expect(ids.idOf("ping")).toBe(2);
    expect(ids.nameOf(2)).toBe("ping");
    expect(ids.nameOf(100)).toBe("pong");
    expect(ids.idOf("other")).toBe(0);
    expect(ids.nameOf(3)).toBeUndefined();
    expect(ids.own()).toEqual([
      { name: "ping", id: 2, chosen: true },
      { name: "pong", id: 100, chosen: false },
    ]);
  });

  it.each([0, 1, -1, 1.5, 2 ** 32, Number.NaN, "2" as unknown as number])("are not %s", (id) => {
    const ids = new TopicIds(from(2));
    expect(() => ids.create("a", id)).toThrow(InvalidArgumentError);
    expect(ids.register("a", id, true, 1)).toBe("id");
    expect(ids.idOf("a")).toBe(0);
  });

  it("are of topics, not of filters", () => {
    const ids = new TopicIds(from(2));
    expect(() => ids.create("a/+", 5)).toThrow(InvalidArgumentError);
    expect(ids.register("a/#", 5, true, 1)).toBe("wildcard");
    expect(ids.register("a/#".repeat(100_000), 5, true, 1)).toBe("long");
  });

  it("made at random pass over 0, self, those of other names, and what else has a number", () => {
    const numbers = [0, 1, 7, 8, 2 ** 32 + 9];
    const ids = new TopicIds(
      () => numbers.shift() as number,
      (id) => id === 8,
    );
    ids.create("seven", 7);
    expect(ids.create("nine")).toBe(9);
  });

  it("are not made from a source that gives no free number", () => {
    for (const number of [0, 1, 7]) {
      const ids = new TopicIds(() => number);
      ids.create("seven", 7);
      expect(() => ids.create("other")).toThrow(expect.objectContaining({ code: "EFSM" }));
      expect(ids.idOf("other")).toBe(0);
    }
  });

  it("stay with a chosen claim, and the other name gets another", () => {
    const ids = new TopicIds(from(100));
    expect(ids.create("b")).toBe(100);
    // Another node has chosen it meanwhile.
    expect(ids.register("z", 100, true, 4)).toBe("added");
    expect(ids.nameOf(100)).toBe("z");
    expect(ids.idOf("b")).toBe(0);
    expect(ids.create("b")).toBe(101);
    // A chosen one that comes first in the order of bytes has it, wherever it comes from.
    expect(ids.register("y", 100, true, 5)).toBe("added");
    expect(ids.nameOf(100)).toBe("y");
    expect(ids.idOf("z")).toBe(0);
  });

  it("lead to the name, all that it has; its own is a chosen one, the smallest", () => {
    const ids = new TopicIds(from(100));
    ids.register("a", 50, false, 1);
    ids.register("a", 70, true, 2);
    ids.register("a", 60, true, 3);
    expect(ids.idOf("a")).toBe(60);
    expect([50, 60, 70].map((id) => ids.nameOf(id))).toEqual(["a", "a", "a"]);
  });

  it("go with the nodes that claim them", () => {
    const ids = new TopicIds(from(100));
    expect(ids.register("a", 5, true, 1)).toBe("added");
    expect(ids.register("a", 5, true, 1)).toBe("known");
    expect(ids.register("a", 5, false, 2)).toBe("added");
    expect(ids.register("b", 5, false, 3)).toBe("added");
    expect(ids.register("aa", 5, false, 1)).toBe("added");
    expect(ids.nameOf(5)).toBe("a");
    expect(ids.deleteNode(1)).toBe(2);
    expect(ids.nameOf(5)).toBe("a");
    expect(ids.unregister("a", 5, 2)).toBe(true);
    expect(ids.unregister("a", 5, 2)).toBe(false);
    expect(ids.nameOf(5)).toBe("b");
    expect(ids.deleteNode(3)).toBe(1);
    expect(ids.nameOf(5)).toBeUndefined();
    expect(ids.deleteNode(3)).toBe(0);
  });

  it("are so many of a node, and no more bytes; other nodes have room", () => {
    const ids = new TopicIds(from(100_000));
    for (let i = 0; i < 4_096; i++) expect(ids.register(`t/${i}`, i + 2, false, 1)).toBe("added");
    expect(ids.register("t/more", 9_999, false, 1)).toBe("full");
    expect(ids.register("t/more", 9_999, false, 2)).toBe("added");
    for (let i = 0; i < 16; i++) ids.register(`${i}`.padEnd(65_535, "x"), 20_000 + i, false, 3);
    expect(ids.register("y".repeat(65_535), 30_000, false, 3)).toBe("full");
    for (let i = 0; i < 4_096; i++) ids.create(`own/${i}`);
    expect(() => ids.create("own/more")).toThrow(InvalidStateError);
    expect(ids.idOf("own/more")).toBe(0);
  });

  it("are the same at every node, whatever the order in which claims and withdrawals arrive", () => {
    const claim = fc.record({
      name: fc.constantFrom("a", "b", "c", "é", "𝄞", "\uff5e"),
      id: fc.integer({ min: 2, max: 6 }),
      chosen: fc.boolean(),
      node: fc.integer({ min: 1, max: 3 }),
    });
    fc.assert(
      fc.property(
        fc.uniqueArray(claim, { maxLength: 16, selector: ({ name, id, node }) => `${name} ${id} ${node}` }),
        fc.infiniteStream(fc.nat()),
        fc.nat({ max: 3 }),
        (claims, order, gone) => {
          const one = new TopicIds(from(100));
          for (const { name, id, chosen, node } of claims) one.register(name, id, chosen, node);
          one.deleteNode(gone);
          const other = new TopicIds(from(500));
          const left = claims.filter(({ node }) => node !== gone);
          while (left.length > 0) {
            const [{ name, id, chosen, node }] = left.splice(
              (order.next().value as number) % left.length,
              1,
            ) as [(typeof left)[number]];
            other.register(name, id, chosen, node);
          }
          for (const { name, id } of claims) {
            expect(one.idOf(name)).toBe(other.idOf(name));
            expect(one.nameOf(id)).toBe(other.nameOf(id));
            // What has an id is led to by it.
            if (one.idOf(name) !== 0) expect(one.nameOf(one.idOf(name))).toBe(name);
          }
        },
      ),
      { numRuns: LONG ? 10_000 : 150 },
    );
  });

  it("are what the claims make them, at each step, whatever is asked between the steps", () => {
    const names = ["a", "b", "c", "é", "𝄞", "\uff5e"];
    const ids = [2, 3, 4, 5];
    const nodes = [-1, 1, 2];
    const claim = {
      name: fc.constantFrom(...names),
      id: fc.constantFrom(...ids),
      node: fc.constantFrom(...nodes),
    };
    const register = fc.record({ kind: fc.constant("register" as const), chosen: fc.boolean(), ...claim });
    const unregister = fc.record({ kind: fc.constant("unregister" as const), ...claim });
    const departure = fc.record({ kind: fc.constant("delete" as const), node: claim.node });
    const step = fc.oneof(
      { weight: 6, arbitrary: register },
      { weight: 3, arbitrary: unregister },
      { weight: 1, arbitrary: departure },
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(step, fc.boolean()), { maxLength: 40 }), (steps) => {
        const kept = new TopicIds(from(100));
        const claims = new Map<string, { name: string; id: number; node: number; chosen: boolean }>();
        for (const [each, isAsked] of steps) {
          if (each.kind === "delete") {
            const its = [...claims].filter(([, { node }]) => node === each.node);
            for (const [key] of its) claims.delete(key);
            expect(kept.deleteNode(each.node)).toBe(its.length);
          } else {
            const { name, id, node } = each;
            const key = `${name} ${id} ${node}`;
            const before = claims.get(key);
            if (each.kind === "unregister") {
              expect(kept.unregister(name, id, node)).toBe(before !== undefined);
              claims.delete(key);
            } else {
              const isKnown = before !== undefined && (before.chosen || !each.chosen);
              expect(kept.register(name, id, each.chosen, node)).toBe(isKnown ? "known" : "added");
              claims.set(key, { name, id, node, chosen: each.chosen || before?.chosen === true });
            }
          }
          if (!isAsked) continue;
          // One that was never asked before.
          const made = new TopicIds(from(100));
          for (const { name, id, chosen, node } of claims.values()) made.register(name, id, chosen, node);
          expect(names.map((name) => kept.idOf(name))).toEqual(names.map((name) => made.idOf(name)));
          expect(ids.map((id) => kept.nameOf(id))).toEqual(ids.map((id) => made.nameOf(id)));
          expect(new Set(kept.own())).toEqual(new Set(made.own()));
        }
      }),
      { numRuns: LONG ? 10_000 : 150 },
    );
  });

  it("are found at once, however many other claims there are on an id, and of a name", () => {
    const ids = new TopicIds(from(100));
    ids.create("a", 5);
    for (let i = 0; i < 2_048; i++) {
      ids.register(`b/${i}`, 5, true, 1);
      ids.register("a", 10 + i, true, 1);
    }
    const begun = performance.now();
    for (let i = 0; i < 20_000; i++) if (ids.nameOf(5) !== "a" || ids.idOf("a") !== 5) expect.unreachable();
    // Some milliseconds; with a look at all claims each time it is more than ten seconds.
    expect(performance.now() - begun).toBeLessThan(2_000);
  });

  it("of one name are known while they are there, whether it has many of them or few", () => {
    const ids = new TopicIds(from(100));
    const there = new Set<number>();
    const check = () => {
      for (let id = 2; id < 42; id++) {
        expect(ids.unregister("a", id, 2)).toBe(false);
        if (there.has(id)) expect(ids.register("a", id, true, 1)).toBe("known");
        else expect(ids.unregister("a", id, 1)).toBe(false);
      }
      expect(ids.idOf("a")).toBe(there.size === 0 ? 0 : Math.min(...there));
    };
    for (const most of [40, 12, 25]) {
      for (let k = 0; there.size < most; k++) {
        const id = 2 + ((k * 7) % 40);
        expect(ids.register("a", id, true, 1)).toBe(there.has(id) ? "known" : "added");
        there.add(id);
        check();
      }
      for (const id of [...there].reverse().slice(0, most === 25 ? most : most - 3)) {
        expect(ids.unregister("a", id, 1)).toBe(true);
        there.delete(id);
        check();
      }
    }
    expect(ids.nameOf(9)).toBeUndefined();
  });

  it.runIf(LONG)(
    "of one name are taken in the time that those of many names take, however many it has",
    () => {
      const took = (call: (node: number, i: number) => void): number => {
        const begun = performance.now();
        for (let node = 0; node < 16; node++) for (let i = 0; i < 4_096; i++) call(node, i);
        return performance.now() - begun;
      };
      const ofMany = new TopicIds(from(100));
      const many = took((node, i) => {
        if (ofMany.register(`t/${node}/${i}`, 2 + 4_096 * node + i, true, node) !== "added")
          expect.unreachable();
      });
      const ofOne = new TopicIds(from(100));
      const one = took((node, i) => {
        if (ofOne.register("a", 2 + 4_096 * node + i, true, node) !== "added") expect.unreachable();
      });
      const gone = took((node, i) => {
        if (!ofOne.unregister("a", 2 + 4_096 * node + i, node)) expect.unreachable();
      });
      // With a look at all of the name's claims each time it is more than fifty times as long.
      expect(one).toBeLessThan(5 * many);
      expect(gone).toBeLessThan(5 * many);
      expect(ofOne.idOf("a")).toBe(0);
    },
  );

  it.runIf(LONG)(
    "of nodes that all go take as long to delete as they are, not as all of them are each time",
    () => {
      const ids = new TopicIds(from(100));
      const took = (call: (node: number) => void): number => {
        const begun = performance.now();
        for (let node = 0; node < 10_000; node++) call(node);
        return performance.now() - begun;
      };
      const registering = took((node) => {
        for (let i = 0; i < 20; i++) ids.register(`t/${node}/${i}`, 2 + 20 * node + i, true, node);
      });
      const deleting = took((node) => {
        if (ids.deleteNode(node) !== 20) expect.unreachable();
      });
      // A third of it; with a look at all claims for each node it is sixty times as long.
      expect(deleting).toBeLessThan(10 * registering);
      expect(ids.nameOf(2)).toBeUndefined();
    },
  );
});
