import { expect, it } from "vitest";
import { directionsOf, LEGAL_PAIRS, type ProxySocketType, SIDE_TYPES } from "../../src/proxy/pairs.js";
import { thrown } from "../contract/support/wait.js";

const types = Object.keys(SIDE_TYPES) as ProxySocketType[];

it("pairs of socket types are refused where nothing, or not everything, could pass, naming those that are not", () => {
  let legal = 0;
  for (const frontend of types) {
    for (const backend of types) {
      const named = [`${frontend}/${backend}`, `${backend}/${frontend}`];
      if (named.some((pair) => LEGAL_PAIRS.includes(pair))) {
        legal += 1;
        const ways = directionsOf(frontend, backend);
        expect(ways.some(({ carries }) => carries === "messages")).toBe(true);
        expect(new Set(ways.map(({ from }) => from)).size).toBe(ways.length);
      } else {
        const error = thrown(() => directionsOf(frontend, backend));
        expect(error).toMatchObject({ name: "InvalidArgumentError", code: "EINVAL" });
        for (const pair of LEGAL_PAIRS) expect(error.message).toContain(pair);
      }
    }
  }
  expect(legal).toBe(2 * LEGAL_PAIRS.length - 2); // Two are of one type.
});
