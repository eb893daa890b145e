import { expect, test } from "vitest";
import { InprocNames } from "../../../src/engine/zmtp/inproc-names.js";
import fc from "../../support/properties.js";

test("every schedule of binds and connects brings each pair together exactly once", () => {
  const step = fc.record({
    how: fc.constantFrom("bind", "unbind", "connect", "disconnect"),
    name: fc.constantFrom("x", "y"),
    who: fc.integer({ min: 0, max: 4 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const names = new InprocNames<number>();
      const bound = new Map<string, number[]>();
      const waiting = new Map<string, Set<number>>([
        ["x", new Set()],
        ["y", new Set()],
      ]);
      for (const { how, name, who } of steps) {
        const queue = waiting.get(name) as Set<number>;
        if (how === "bind" && !bound.has(name)) {
          const met: number[] = [];
          const target = { inprocOnPeer: (peer: number) => met.push(peer) };
          names.bind(name, target);
          names.admit(name, target);
          bound.set(name, met);
          expect(met).toEqual([...queue]);
          queue.clear();
        } else if (how === "unbind") {
          names.unbind(name);
          bound.delete(name);
        } else if (how === "connect") {
          const before = bound.get(name)?.length;
          names.connect(name, who);
          if (before === undefined) queue.add(who);
          else expect(bound.get(name)?.slice(before)).toEqual([who]);
        } else if (how === "disconnect") {
          names.disconnect(name, who);
          queue.delete(who);
        }
      }
    }),
    { numRuns: 1_000 },
  );
});
