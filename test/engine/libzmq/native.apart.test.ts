import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { loadNative as LoadNative } from "../../../src/engine/libzmq/native.js";

let loadNative: typeof LoadNative;

beforeEach(async () => {
  vi.resetModules();
  ({ loadNative } = await import("../../../src/engine/libzmq/native.js"));
});
afterEach(() => void vi.resetModules());

const failing = (error: unknown) => (): never => {
  throw error;
};

test("a package that does not load is one clear error that names the ways out", () => {
  const cause = new Error("Cannot find module 'zeromq'\nRequire stack:\n- /some/where.js");
  expect(() => loadNative(failing(cause))).toThrow(
    expect.objectContaining({
      name: "NotSupportedError",
      code: "ERR_ENGINE_UNAVAILABLE",
      cause,
      message:
        "The libzmq engine needs the npm package zeromq, which does not load on this machine " +
        "(Cannot find module 'zeromq'). Install it with \"npm install zeromq\" on a platform it has " +
        "binaries for, or choose another engine with SHOAL_ENGINE or new Context({ engine })",
    }),
  );
});

test("what is thrown may be anything", () => {
  expect(() => loadNative(failing("no addon"))).toThrow(/\(no addon\)/);
});

test("a failure is not remembered, a success is", () => {
  const native = { version: "0" };
  const require = vi.fn(() => native);
  expect(() => loadNative(failing(new Error("not yet")))).toThrow();
  expect(loadNative(require)).toBe(native);
  expect(loadNative(require)).toBe(native);
  expect(require.mock.calls).toEqual([["zeromq"]]);
});

test("shoal itself under the name of zeromq is not taken for the addon", () => {
  expect(() => loadNative(() => ({ shoal: true }))).toThrow(/what is installed as zeromq is shoal-zeromq/);
});
