/** What a proxy's surroundings do to it: floods at its control socket, folders of keys that are anything but. */
import { mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { curveKeyPair, Dealer, Pull, Push, Request } from "../../src/index.js";
import { StreamerProxy } from "../../src/proxy/index.js";
import { type FolderKeys, KeyFolder } from "../../src/sockets/security/key-folder.js";
import { until } from "../contract/support/wait.js";
import { removeAfterEach } from "../support/folders.js";
import { ANY, back, front, LIMIT, useWorld } from "./support.js";

const world = useWorld("zmtp");
const { context, sides } = world;

it("a control socket that is flooded answers its controller, counts what it refused, and messages pass", async () => {
  const proxy = await world.start(new StreamerProxy({ ...sides, control: { bind: ANY } }));
  const control = proxy.endpoints.control[0] as string;
  // Half of them never read a reply; none waits for one.
  const floods = Array.from({ length: 8 }, () => world.socket(new Dealer({ context, linger: 0 })));
  const COUNT = 300;
  const sent = floods.map(async (flood, index) => {
    flood.connect(control);
    for (let i = 0; i < COUNT; i++)
      await flood.send(["", i % 2 === 0 ? '{"command":"flood"}' : Buffer.alloc(100 + i, 0xff)]);
    if (index % 2 === 0) for (let i = 0; i < COUNT; i++) await flood.receive({ timeout: LIMIT });
  });
  const controller = world.peer(new Request({ context }), control);
  const push = world.peer(new Push({ context }), front(proxy));
  const pull = world.peer(new Pull({ context }), back(proxy));
  for (let i = 0; i < 50; i++) {
    const [status] = await controller.request('{"command":"status"}', { timeout: LIMIT });
    expect(JSON.parse(String(status))).toMatchObject({ state: "running" });
    await push.send(`${i}`);
    expect(String(await pull.receive({ timeout: LIMIT }))).toBe(`${i}`);
  }
  await Promise.all(sent);
  await until(() => (proxy.stats().control?.refused ?? 0) === floods.length * COUNT, "all refusals", LIMIT);
  expect(proxy.stats().control?.commands).toBe(50);
});

describe("a folder of keys", () => {
  const makeFolder = removeAfterEach();
  let folder = "";
  let keys = "";
  beforeEach(async () => {
    folder = makeFolder();
    keys = join(folder, "keys");
    await mkdir(keys);
  });
  afterEach(() => watched?.close());

  let now: FolderKeys = { keys: new Set(), problems: [] };
  let watched: KeyFolder | undefined;
  async function watch(): Promise<void> {
    watched = await KeyFolder.open(keys, (changed) => (now = changed));
    now = watched.now;
  }

  it("may become a file, a link to nothing, a link to itself, and a folder again: known keys stay until then", async () => {
    const [first, last] = [curveKeyPair().publicKey, curveKeyPair().publicKey];
    await writeFile(join(keys, "one"), first);
    await watch();
    expect([...now.keys]).toEqual([first]);
    const replacements: readonly (readonly [code: RegExp, make: () => Promise<unknown>])[] = [
      [/ENOTDIR/, () => writeFile(keys, "not a folder")],
      [/ENOENT/, () => symlink(join(folder, "nowhere"), keys)],
      [/ELOOP/, () => symlink(keys, keys)],
    ];
    for (const [code, make] of replacements) {
      await rm(keys, { recursive: true });
      await make();
      await until(() => now.problems.some((problem) => code.test(problem)), `${code}`, LIMIT);
      expect([...now.keys]).toEqual([first]);
    }
    await mkdir(join(folder, "next"));
    await writeFile(join(folder, "next", "two"), last);
    await rm(keys);
    await rename(join(folder, "next"), keys);
    await until(() => now.keys.has(last), "the new folder", LIMIT);
    expect(now).toEqual({ keys: new Set([last]), problems: [] });
    await rm(join(keys, "two"));
    await until(() => now.keys.size === 0, "a change in it", LIMIT);
  });

  it("is read as before once it was removed and made anew, even with the inode that it had", async () => {
    const [first, second] = [curveKeyPair().publicKey, curveKeyPair().publicKey];
    await watch();
    await rm(keys, { recursive: true });
    await mkdir(keys);
    await writeFile(join(keys, "one"), first);
    await until(() => now.keys.has(first), "the new folder's key", LIMIT);
    await writeFile(join(keys, "two"), second);
    await until(() => now.keys.has(second), "a change in it", LIMIT);
  });
});
