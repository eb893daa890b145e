import { createRequire } from "node:module";
import { expect, it } from "vitest";
import { NotSupportedError } from "../../src/core/errors.js";
import { loadOptional } from "../../src/core/packages.js";
import { thrown } from "../contract/support/wait.js";

function failing(error: unknown): () => never {
  return () => {
    throw error;
  };
}

function failure(name: string, require: (id: string) => unknown): NotSupportedError {
  const error = thrown(() => loadOptional(name, "This store", require));
  expect(error).toBeInstanceOf(NotSupportedError);
  return error as NotSupportedError;
}

it("gives what the package is", () => {
  const known = {};
  expect(loadOptional("lmdb", "This store", () => known)).toBe(known);
});

it("names the command that installs a missing package", () => {
  const { code, message } = failure("no-such-package", createRequire(import.meta.url));
  expect([code, message]).toEqual([
    "ERR_PACKAGE_UNAVAILABLE",
    "This store needs the npm package no-such-package, which is not installed: npm install no-such-package",
  ]);
});

it("distinguishes a package that does not load from one that is not installed", () => {
  const cause = new Error("wrong ELF class\nRequire stack: …");
  const error = failure("lmdb", failing(cause));
  expect(error.cause).toBe(cause);
  expect(error.message).toBe(
    "This store needs the npm package lmdb, which does not load on this machine (wrong ELF class); " +
      "npm install lmdb installs it again",
  );
});

it("does not call a package missing when one of its own is", () => {
  const cause = Object.assign(new Error("Cannot find module '@lmdb/lmdb-linux-x64'"), {
    code: "MODULE_NOT_FOUND",
  });
  expect(failure("lmdb", failing(cause)).message).toContain(
    "does not load on this machine (Cannot find module '@lmdb/lmdb-linux-x64')",
  );
});
