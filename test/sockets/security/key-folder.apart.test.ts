/** A folder of keys, whose files a process may fail to read. */
import * as fs from "node:fs/promises";
import { rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { curveKeyPair } from "../../../src/index.js";
import { KeyFolder } from "../../../src/sockets/security/key-folder.js";
import { removeAfterEach } from "../../support/folders.js";

vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof fs>();
  return { ...real, readFile: vi.fn(real.readFile) };
});
const readFile = vi.mocked(fs.readFile);

/** ms between readings, at least. */
const INTERVAL = 500;
const [one, two] = [curveKeyPair().publicKey, curveKeyPair().publicKey];
const changed = vi.fn();
let path = "";
let folder: KeyFolder;

const makeFolder = removeAfterEach();
beforeEach(async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  path = makeFolder();
  await writeFile(join(path, "a"), one);
  await writeFile(join(path, "b"), two);
  folder = await KeyFolder.open(path, changed);
});
afterEach(() => {
  folder.close();
  vi.useRealTimers();
  vi.clearAllMocks();
});

/** Waits for the next reading, to its end. */
async function readAgain(): Promise<void> {
  await vi.waitUntil(() => vi.getTimerCount() > 0);
  await vi.advanceTimersByTimeAsync(20 * INTERVAL);
  while (vi.getTimerCount() === 0) await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
}

it.each(["EMFILE", "EIO", "ESTALE"])("keeps its keys while a file is %s", async (code) => {
  readFile.mockRejectedValueOnce(Object.assign(new Error(code), { code }));
  await readAgain();
  expect([...folder.now.keys].sort()).toEqual([one, two].sort());
  expect(folder.now.problems).toEqual([`the folder cannot be read, its last keys stay: ${code}`]);
  await readAgain();
  expect(folder.now.problems).toEqual([]);
  expect(changed).toHaveBeenCalledTimes(2);
});

it("has no keys of a file without permission", async () => {
  readFile.mockRejectedValueOnce(Object.assign(new Error("EACCES"), { code: "EACCES" }));
  await readAgain();
  expect([[...folder.now.keys], folder.now.problems]).toEqual([[two], ["a: EACCES"]]);
});

it("reports no change when a file has another name", async () => {
  await rename(join(path, "a"), join(path, "z"));
  await readAgain();
  expect(changed).not.toHaveBeenCalled();
  await rm(join(path, "z"));
  await readAgain();
  expect([...folder.now.keys]).toEqual([two]);
});
