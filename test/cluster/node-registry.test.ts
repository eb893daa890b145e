/** The nodes of a host, by sockets: who is shown, what is removed, and what a stranger's socket can do. */
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ClusterNode, clusterNames } from "../../src/cluster/index.js";
import { type ClusterNodeEntry, namesIn, register } from "../../src/cluster/registry.js";
import { runtimeFolder } from "../../src/core/file-system.js";
import { Child } from "../process/child.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { removeAfterEach } from "../support/folders.js";
import { LONG } from "../support/long.js";

const makeFolder = removeAfterEach();
let root: string;
let folder: string;
const children: Child[] = [];

beforeEach(() => {
  root = makeFolder();
  folder = join(root, "shoal", "nodes");
});

afterEach(async () => {
  for (const child of children.splice(0)) await child.kill();
});

const closing = closeAfterEach();

const entry = (digit: string, values: Partial<ClusterNodeEntry> = {}): ClusterNodeEntry => ({
  id: digit.repeat(32),
  name: `${digit}@host`,
  cluster: "default",
  address: "127.0.0.1:7946",
  port: 7946,
  pid: process.pid,
  since: 1_000,
  control: [],
  ...values,
});

async function show(digit: string, values: Partial<ClusterNodeEntry> = {}): Promise<() => Promise<void>> {
  const close = await register(() => entry(digit, values), folder);
  closing({ close });
  return close;
}

const ANSWERS = `require("net").createServer((s) => s.on("error", () => {}).end(process.argv[2])).listen(process.argv[1], () => console.log())`;

/** A process that answers as a node does. */
async function otherProcess(digit: string, text = JSON.stringify(entry(digit))): Promise<Child> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const args = ["-e", ANSWERS, join(folder, `${digit.repeat(16)}.sock`), text];
  const child = new Child(process.execPath, args);
  children.push(child);
  await child.line();
  return child;
}

const old = (path: string): void => utimesSync(path, new Date(0), new Date(0));
const names = async (): Promise<string[]> => (await namesIn(folder)).map(({ name }) => name);

describe("the nodes of a host", () => {
  it("have files that their user alone can read", async () => {
    await show("a");
    for (const path of [join(root, "shoal"), folder]) expect(lstatSync(path).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(folder)) expect(lstatSync(join(folder, name)).mode & 0o777).toBe(0o600);
  });

  it("that were killed are not shown, and their files are removed", async () => {
    const child = await otherProcess("c");
    await show("a");
    expect(await names()).toEqual(["a@host", "c@host"]);
    await child.kill();
    expect(await names()).toEqual(["a@host"]);
    // A starting node may not accept connections yet.
    expect(readdirSync(folder).length).toBe(2);
    old(join(folder, `${"c".repeat(16)}.sock`));
    const control = join(root, "shoal", `${"c".repeat(12)}.sock`);
    writeFileSync(control, "");
    await names();
    expect(readdirSync(folder)).toEqual([`${"a".repeat(16)}.sock`]);
    expect(existsSync(control)).toBe(false);
  });

  it("are shown among thousands of files of killed ones, which are removed", async () => {
    await show("f");
    for (let i = 0; i < (LONG ? 3_000 : 300); i++) {
      const path = join(folder, `${i.toString(16).padStart(16, "0")}.sock`);
      writeFileSync(path, "");
      old(path);
    }
    writeFileSync(join(folder, "notes.txt"), "not a node's");
    expect(await names()).toEqual(["f@host"]);
    expect(readdirSync(folder).sort()).toEqual([`${"f".repeat(16)}.sock`, "notes.txt"]);
  });

  it("that are paused are not shown, and keep their sockets", async () => {
    const child = await otherProcess("c");
    child.signal("SIGSTOP");
    old(join(folder, `${"c".repeat(16)}.sock`));
    expect(await names()).toEqual([]);
    child.signal("SIGCONT");
    expect(await names()).toEqual(["c@host"]);
  });

  it("are all that are registered, by name", async () => {
    const values = { cluster: "kitchen", port: 5_000, address: "10.0.0.1:5000", control: ["ipc:///tmp/a"] };
    await show("b");
    await show("a", values);
    expect(await namesIn(folder)).toEqual([entry("a", values), entry("b")]);
  });
});

describe("a stranger's", () => {
  async function refused(digit: string, place: string): Promise<void> {
    await expect(register(() => entry(digit), place)).rejects.toMatchObject({ code: "EFSM" });
  }

  it.each<[string, string]>([
    ["junk", "not json"],
    ["null", "null"],
    ["another id", JSON.stringify(entry("e"))],
    ["a large text", `${JSON.stringify(entry("c"))}${" ".repeat(5_000)}`],
  ])("answer that is %s is not shown", async (_what, text) => {
    await otherProcess("c", text);
    await show("a");
    expect(await names()).toEqual(["a@host"]);
  });

  it("folder, one that others may enter, and a link to one are not used", async () => {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    chmodSync(folder, 0o777);
    await refused("a", folder);
    chmodSync(folder, 0o700);
    await show("a");
    chmodSync(folder, 0o710);
    expect(await names()).toEqual([]);
    chmodSync(folder, 0o700);
    const link = join(root, "link");
    symlinkSync(join(root, "shoal"), link);
    expect(await namesIn(join(link, "nodes"))).toEqual([]);
    await refused("b", join(link, "nodes"));
    expect(await names()).toEqual(["a@host"]);
  });

  it("path that is too long for a socket is not used", async () => {
    const long = join(root, "x".repeat(60), "nodes");
    await refused("a", long);
  });
});

describe("a node that runs", () => {
  it("shows what it is now, until its end", async () => {
    const own = entry("a");
    let control: string[] = [];
    const close = await register(() => ({ ...own, control }), folder);
    control = ["ipc:///tmp/a"];
    expect((await namesIn(folder))[0]?.control).toEqual(["ipc:///tmp/a"]);
    await close();
    expect(readdirSync(folder)).toEqual([]);
  });

  it("listens at nothing through a link in place of its folder", async () => {
    const elsewhere = join(root, "elsewhere");
    mkdirSync(elsewhere, { mode: 0o700 });
    mkdirSync(join(root, "shoal"), { mode: 0o700 });
    symlinkSync(elsewhere, folder);
    await expect(show("a")).rejects.toMatchObject({ code: "EFSM" });
    expect(readdirSync(elsewhere)).toEqual([]);
  });
});

describe("a ClusterNode", () => {
  it("is among the names of its host from its start to its end, unless it does not want to", async () => {
    const options = { cluster: `names-${process.pid}`, multicast: false } as const;
    const node = new ClusterNode({ name: "shown", ...options });
    const hidden = new ClusterNode({ name: "hidden", registry: false, ...options });
    for (const each of [node, hidden]) closing(each);
    await Promise.all([node.start(), hidden.start()]);
    node.showControl(["ipc:///tmp/x"]);
    const own = async (): Promise<ClusterNodeEntry[]> =>
      (await clusterNames()).filter(({ cluster }) => cluster === options.cluster);
    await expect.poll(own, { timeout: 10_000 }).toMatchObject([
      {
        id: node.id,
        name: node.name,
        address: node.address,
        port: Number(node.address.split(":")[1]),
        pid: process.pid,
        control: ["ipc:///tmp/x"],
      },
    ]);
    const EINVAL = expect.objectContaining({ code: "EINVAL" });
    expect(() => node.showControl(["x".repeat(257)])).toThrow(EINVAL);
    await node.leave();
    expect(await own()).toEqual([]);
    expect(hidden.stats().dropped).toEqual({});
  });

  it("reports once that it cannot be shown", async () => {
    // No folder is this user's.
    vi.stubEnv("TMPDIR", root);
    vi.stubEnv("XDG_RUNTIME_DIR", root);
    vi.spyOn(process, "getuid").mockReturnValue(4_294_000_000);
    try {
      const node = new ClusterNode({ name: "unshown", cluster: `unshown-${process.pid}`, multicast: false });
      closing(node);
      const down = new Promise((resolve) => node.events.once("registry:down", ({ error }) => resolve(error)));
      await node.start();
      expect(await down).toMatchObject({ code: "EFSM" });
      expect(node.stats().dropped).toEqual({ registry: 1 });
    } finally {
      vi.restoreAllMocks();
      vi.unstubAllEnvs();
    }
  });

  it("looks where its user's runtime files are", () => {
    const uid = process.getuid?.();
    const own = [`/run/user/${uid}/shoal`, join(tmpdir(), `shoal-${uid}`)];
    expect(runtimeFolder({ XDG_RUNTIME_DIR: "/run/own" })).toBe("/run/own/shoal");
    expect(own).toContain(runtimeFolder({ XDG_RUNTIME_DIR: "relative" }));
    expect(own).toContain(runtimeFolder({}));
    expect(runtimeFolder({ SHOAL_RUNTIME_DIR: "/own", XDG_RUNTIME_DIR: "/run/own" })).toBe("/own");
  });
});
