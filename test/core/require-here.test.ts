/** Packages that are loaded with their first use. */
import { realpathSync } from "node:fs";
import { expect, it, vi } from "vitest";
import { requireHere } from "../../src/core/require-here.js";

it("loads a package where the system gives no real path of it", () => {
  const native = vi.spyOn(realpathSync, "native").mockImplementation(() => {
    throw Object.assign(new Error("EACCES: permission denied, realpath"), { code: "EACCES" });
  });
  try {
    const first = requireHere()("libsodium") as { ready?: unknown };
    expect(native).toHaveBeenCalled();
    expect(first.ready).toBeInstanceOf(Promise);
  } finally {
    native.mockRestore();
  }
  // What does not exist is still refused.
  expect(() => requireHere()("no-such-package-of-anyone")).toThrow(
    expect.objectContaining({ code: "MODULE_NOT_FOUND" }),
  );
});
