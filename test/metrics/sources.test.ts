/** How the statistics of sources are read. */
import { expect, it } from "vitest";
import { type NamedSource, namedSources, StatsReader } from "../../src/metrics/sources.js";

it("asks a source once for all who ask at the same time, and again when it has answered", async () => {
  let asked = 0;
  const [source] = namedSources({ own: { kind: "queue", stats: async () => ({ asked: ++asked }) } });
  const reader = new StatsReader();
  const read = (): Promise<object> => reader.read(source as NamedSource, 60_000);
  expect(await Promise.all([read(), read()])).toEqual([{ asked: 1 }, { asked: 1 }]);
  expect(await read()).toEqual({ asked: 2 });
});
