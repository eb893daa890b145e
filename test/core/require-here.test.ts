/** Packages that are loaded with their first use. */
import { once } from "node:events";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, vi } from "vitest";
import { requireHere } from "../../src/core/packages.js";

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

it("loads a package once for a program and a package that are symbolic links, after a lookup of a socket file", async () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "shoal-require-")));
  const server = createServer();
  try {
    mkdirSync(join(folder, "program/store"), { recursive: true });
    writeFileSync(join(folder, "program/store/index.cjs"), "module.exports = {};");
    symlinkSync(join(folder, "program/store"), join(folder, "program/package"));
    symlinkSync(join(folder, "program"), join(folder, "linked"));
    const own = requireHere()(join(folder, "program/store/index.cjs"));
    server.listen(join(folder, "socket"));
    await once(server, "listening");
    // Node.js 20 and 22 then follow the first link of a path only.
    statSync(join(folder, "socket"));
    expect(requireHere()(join(folder, "linked/package/index.cjs"))).toBe(own);
  } finally {
    server.close();
    rmSync(folder, { recursive: true });
  }
});
