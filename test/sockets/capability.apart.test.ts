import { createRequire } from "node:module";
import { expect, test } from "vitest";

// The package's own object describes libzmq.
process.env.SHOAL_ENGINE = "libzmq";
const { capability, version } = await import("../../src/index.js");

const zeromq = createRequire(import.meta.url)("zeromq") as {
  version: string;
  capability: Record<string, boolean>;
};

test("version is that of the libzmq that the package carries", () => {
  expect(version).toBe(zeromq.version);
});

test("capability reads as the package's own object does, in every way of looking at it", () => {
  // Draft sockets run on the engine zmtp alone.
  const expected = { ...zeromq.capability, draft: false };
  expect({ ...capability }).toEqual(expected);
  expect(Object.keys(capability)).toEqual(Object.keys(zeromq.capability));
  expect(JSON.stringify(capability)).toBe(JSON.stringify(expected));
  expect(capability.curve).toBe(zeromq.capability.curve);
  expect("curve" in capability).toBe("curve" in zeromq.capability);
  expect("nonsense" in capability).toBe(false);
  expect((capability as Record<string, unknown>).nonsense).toBeUndefined();
  expect(Reflect.get(capability, Symbol.toPrimitive)).toBeUndefined();
});
