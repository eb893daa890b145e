/** Packages that are loaded with their first use. */
import { realpathSync } from "node:fs";
import { expect, it, vi } from "vitest";
import { requireHere } from "../../src/core/require-here.js";

it("loads a package where the system gives no real path of it", () => {
  const native = vi.spyOn(realpathSync, "native").mockImplementation(() => {
    throw Object.assign(new Error("EACCES: permission denied, realpath"), { code: "EACCES" });
  });
  try {
    const first = requireHere()("@noble/ciphers/chacha.js") as { chacha20?: unknown };
    expect(native).toHaveBeenCalled();
    expect(typeof first.chacha20).toBe("function");
  } finally {
    native.mockRestore();
  }
  // What does not exist is still refused.
  expect(() => requireHere()("no-such-package-of-anyone")).toThrow(
    expect.objectContaining({ code: "MODULE_NOT_FOUND" }),
  );
});
