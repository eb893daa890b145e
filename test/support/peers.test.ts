import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, expect, it, vi } from "vitest";
import { checkRequired, probePeers } from "./peers.js";

const folder = mkdtempSync(join(tmpdir(), "shoal-peers-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => vi.unstubAllEnvs());

it("a python3 without pyzmq is not pyzmq, and says why", async () => {
  const python = join(folder, "python3");
  const script = `case "$*" in *zmq*) echo "ModuleNotFoundError: No module named 'zmq'" >&2; exit 1;; esac\n`;
  writeFileSync(python, `#!/bin/sh\n${script}`);
  chmodSync(python, 0o755);
  vi.stubEnv("SHOAL_PYTHON", python);
  const found = await probePeers();
  expect(found.python3).toEqual({ at: python });
  expect(found.pyzmq).toEqual({
    missing: expect.stringMatching(/Debian: python3-zmq.*ModuleNotFoundError: No module named 'zmq'/),
  });
});

it("what is on no path is missing, and nothing throws", async () => {
  vi.stubEnv("PATH", folder);
  vi.stubEnv("SHOAL_PYTHON", join(folder, "nothing"));
  const { python3, libzmq, czmq, networks, mounts } = await probePeers();
  for (const peer of [python3, libzmq, czmq, networks, mounts])
    expect(peer).toEqual({ missing: expect.stringMatching(/ENOENT/) });
});

it("a required peer that is missing fails the run, and so does a name that no probe has", () => {
  const found = { pyzmq: { missing: "no zmq" }, czmq: { at: "cc" } };
  expect(() => checkRequired(found, "")).not.toThrow();
  expect(() => checkRequired(found, "czmq")).not.toThrow();
  expect(() => checkRequired(found, "czmq,pyzmq")).toThrow("pyzmq: no zmq");
  expect(() => checkRequired(found, "pyzqm")).toThrow("names pyzqm; there are pyzmq, czmq");
});

it("no other file looks for a peer by itself", () => {
  const root = fileURLToPath(new URL("..", import.meta.url));
  const own = ["support/peers.ts", "support/peers.test.ts"];
  const files = readdirSync(root, { recursive: true, encoding: "utf8" });
  const others = files.filter(
    (name) =>
      name.endsWith(".ts") &&
      !own.includes(name) &&
      /\/usr\/bin\/python|"import zmq"|\/usr\/lib\/postgresql/.test(readFileSync(join(root, name), "utf8")),
  );
  expect(others).toEqual([]);
});
