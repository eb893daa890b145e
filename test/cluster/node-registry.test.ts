/** The nodes of a host, by files: who is shown, what is removed, and what a stranger's file can do. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { ClusterNode, clusterNames } from "../../src/cluster/index.js";
import { Registrar } from "../../src/cluster/node/registrar.js";
import { type ClusterNodeEntry, foldersOf, namesIn, Registration } from "../../src/cluster/registry.js";
import { LONG } from "../support/long.js";
import { missing } from "../support/peers.js";

let root: string;
let folder: string;
const open: { close(): Promise<unknown> }[] = [];
const children: ChildProcess[] = [];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "shoal-names-"));
  folder = join(root, "shoal", "nodes");
});

afterEach(async () => {
  await Promise.all(open.splice(0).map((each) => each.close()));
  for (const child of children.splice(0)) child.kill("SIGKILL");
  rmSync(root, { recursive: true, force: true });
});

const entry = (digit: string, values: Partial<ClusterNodeEntry> = {}): ClusterNodeEntry => ({
  id: digit.repeat(32),
  name: `${digit}@host`,
  group: "default",
  address: "127.0.0.1:7946",
  port: 7946,
  pid: process.pid,
  since: 1_000,
  control: [],
  ...values,
});

async function register(digit: string, values: Partial<ClusterNodeEntry> = {}): Promise<Registration> {
  const made = await Registration.open(entry(digit, values), [folder]);
  open.push(made);
  return made;
}

/** A process that listens as a node does, with the file of one. */
async function otherProcess(digit: string, text = JSON.stringify(entry(digit))): Promise<ChildProcess> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, `${digit.repeat(16)}.sock`);
  const child = spawn(
    process.execPath,
    [
      "-e",
      `require("net").createServer((s) => s.destroy()).listen(process.argv[1], () => console.log())`,
      path,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  children.push(child);
  await new Promise((resolve) => child.stdout?.once("data", resolve));
  writeFileSync(join(folder, `${digit.repeat(16)}.json`), text, { mode: 0o600 });
  return child;
}

async function killed(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
}

const old = (path: string): void => utimesSync(path, new Date(0), new Date(0));
const names = async (): Promise<string[]> => (await namesIn([folder])).map(({ name }) => name);

describe("the nodes of a host", () => {
  it("are shown while they run, by name, with what they changed", async () => {
    const b = await register("b", { control: ["ipc:///tmp/b"] });
    const a = await register("a", { group: "kitchen", port: 5_000, address: "10.0.0.1:5000" });
    expect(await namesIn([folder])).toEqual([
      entry("a", { group: "kitchen", port: 5_000, address: "10.0.0.1:5000" }),
      entry("b", { control: ["ipc:///tmp/b"] }),
    ]);
    await a.write(entry("a", { control: ["ipc:///tmp/a"] }));
    expect((await namesIn([folder]))[0]?.control).toEqual(["ipc:///tmp/a"]);
    await b.close();
    expect(await names()).toEqual(["a@host"]);
    await a.close();
    expect(readdirSync(folder)).toEqual([]);
  });

  it("have files that their user alone can read", async () => {
    await register("a");
    for (const path of [join(root, "shoal"), folder]) expect(lstatSync(path).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(folder)) expect(lstatSync(join(folder, name)).mode & 0o777).toBe(0o600);
  });

  it("that were killed are not shown, and their files are removed", async () => {
    const child = await otherProcess("c");
    await register("a");
    expect(await names()).toEqual(["a@host", "c@host"]);
    await killed(child);
    expect(await names()).toEqual(["a@host"]);
    expect(existsSync(join(folder, `${"c".repeat(16)}.json`))).toBe(false);
    old(join(folder, `${"c".repeat(16)}.sock`));
    await names();
    expect(readdirSync(folder).sort()).toEqual([`${"a".repeat(16)}.json`, `${"a".repeat(16)}.sock`]);
  });

  it("are shown among thousands of files of killed ones, which are removed", async () => {
    await register("f");
    for (let i = 0; i < (LONG ? 3_000 : 300); i++)
      writeFileSync(join(folder, `${i.toString(16).padStart(16, "0")}.json`), "{}");
    expect((await namesIn([folder])).map(({ name }) => name)).toEqual(["f@host"]);
    expect(readdirSync(folder).sort()).toEqual([`${"f".repeat(16)}.json`, `${"f".repeat(16)}.sock`]);
  });

  it("that are stopped are shown", async () => {
    const child = await otherProcess("c");
    child.kill("SIGSTOP");
    expect(await names()).toEqual(["c@host"]);
  });

  it("are all of two folders, each once", async () => {
    await register("a");
    const second = join(root, "two", "nodes");
    open.push(await Registration.open(entry("b"), [join(root, "missing", "deep", "nodes"), second]));
    expect((await namesIn([folder, second, folder])).map(({ name }) => name)).toEqual(["a@host", "b@host"]);
  });

  it("leave what a node is writing at this moment alone, and remove it later", async () => {
    await register("a");
    const part = join(folder, `.${"d".repeat(16)}.part`);
    writeFileSync(part, "half");
    writeFileSync(join(folder, "notes.txt"), "not a node's");
    await names();
    expect(existsSync(part)).toBe(true);
    old(part);
    await names();
    expect(existsSync(part)).toBe(false);
    expect(existsSync(join(folder, "notes.txt"))).toBe(true);
  });
});

describe("a stranger's", () => {
  it.each<[string, string]>([
    ["junk", "not json"],
    ["null", "null"],
    ["another id", JSON.stringify(entry("e"))],
    ["a name with an escape", JSON.stringify(entry("c", { name: "\u001b[2J@host" }))],
    ["an address with a line feed", JSON.stringify(entry("c", { address: "10.0.0.1:1\nx" }))],
    ["a port that is none", JSON.stringify(entry("c", { port: -1 }))],
    ["control endpoints without end", JSON.stringify(entry("c", { control: new Array(9).fill("x") }))],
    ["a large file", `${JSON.stringify(entry("c"))}${" ".repeat(5_000)}`],
  ])("file that is %s is not shown", async (_what, text) => {
    await otherProcess("c", text);
    await register("a");
    expect(await names()).toEqual(["a@host"]);
  });

  it("link in place of a file is not followed", async () => {
    const child = await otherProcess("c");
    const target = join(root, "elsewhere.json");
    writeFileSync(target, JSON.stringify(entry("c")));
    rmSync(join(folder, `${"c".repeat(16)}.json`));
    symlinkSync(target, join(folder, `${"c".repeat(16)}.json`));
    expect(await names()).toEqual([]);
    // Nor is what it leads to removed with it.
    await killed(child);
    await names();
    expect(existsSync(target)).toBe(true);
  });

  it("folder, one that others may write, and a link to one are not used", async () => {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    chmodSync(folder, 0o777);
    await expect(Registration.open(entry("a"), [folder])).rejects.toMatchObject({ code: "EFSM" });
    chmodSync(folder, 0o700);
    await register("a");
    chmodSync(folder, 0o770);
    expect(await names()).toEqual([]);
    chmodSync(folder, 0o700);
    const link = join(root, "link");
    symlinkSync(join(root, "shoal"), link);
    expect(await namesIn([join(link, "nodes")])).toEqual([]);
    await expect(Registration.open(entry("b"), [join(link, "nodes")])).rejects.toMatchObject({
      code: "EFSM",
    });
    expect(await names()).toEqual(["a@host"]);
  });

  it("path that is too long for a socket is not used", async () => {
    const long = join(root, "x".repeat(60), "nodes");
    await expect(Registration.open(entry("a"), [long])).rejects.toMatchObject({ code: "EFSM" });
  });
});

describe("a node that runs", () => {
  let reports: string[];
  /** Settles with the next report. */
  let reported: Promise<void>;

  function keep(digit: string, folders: readonly string[] = [folder]): Registrar {
    let wake: () => void = () => undefined;
    const next = (): void => {
      reported = new Promise((resolve) => {
        wake = resolve;
      });
    };
    const report = (text: string): void => {
      reports.push(text);
      wake();
      next();
    };
    reports = [];
    next();
    const effects = {
      up: () => report("up"),
      down: (error: Error & { code?: string }) => report(`down ${error.code}`),
    };
    const made = new Registrar(entry(digit), effects, folders, LOOK);
    open.push(made);
    made.start();
    return made;
  }

  /** ms between two looks. */
  const LOOK = 30;
  const untilNames = async (...wanted: string[]): Promise<void> => {
    await expect.poll(names, { timeout: 10_000, interval: 10 }).toEqual(wanted);
  };

  it("is shown again after its folder was removed, or another one is in its place", async () => {
    const node = keep("a");
    await untilNames("a@host");
    rmSync(join(root, "shoal"), { recursive: true });
    await untilNames("a@host");
    renameSync(folder, join(root, "before"));
    mkdirSync(folder, { mode: 0o700 });
    await untilNames("a@host");
    node.update({ control: ["ipc:///tmp/a"] });
    await expect
      .poll(async () => (await namesIn([folder]))[0]?.control, { timeout: 10_000 })
      .toEqual(["ipc:///tmp/a"]);
    await node.close();
    expect(readdirSync(folder)).toEqual([]);
    expect(reports).toEqual([]);
  });

  it.each(["socket", "file"])("is shown though its folder goes away before its %s is there", async (what) => {
    const goesAway = (): void => rmSync(join(root, "shoal"), { recursive: true });
    const { listen } = Server.prototype;
    const spy = vi.spyOn(Server.prototype, "listen");
    onTestFinished(() => spy.mockRestore());
    spy.mockImplementationOnce(function (this: Server, ...args: unknown[]) {
      if (what === "socket") goesAway();
      else this.once("listening", goesAway);
      return Reflect.apply(listen, this, args);
    });
    keep("a");
    await untilNames("a@host");
    expect(reports).toEqual([]);
  });

  it("reports what fails twice", async () => {
    const gone = Object.assign(new Error("gone"), { code: "ENOENT" });
    const open = vi.spyOn(Registration, "open");
    onTestFinished(() => open.mockRestore());
    open.mockRejectedValueOnce(gone).mockRejectedValueOnce(gone);
    keep("b");
    await reported;
    await untilNames("b@host");
    expect(reports).toEqual(["down ENOENT", "up"]);
  });

  it("is shown again after its file alone was cleared away", async () => {
    keep("a");
    await untilNames("a@host");
    const { ino } = lstatSync(join(folder, `${"a".repeat(16)}.sock`));
    rmSync(join(folder, `${"a".repeat(16)}.json`));
    await untilNames("a@host");
    expect(lstatSync(join(folder, `${"a".repeat(16)}.sock`)).ino).toBe(ino);
  });

  it("writes nothing through a link in place of its folder, and reports that it is not shown", async () => {
    const node = keep("a");
    await untilNames("a@host");
    const elsewhere = join(root, "elsewhere");
    mkdirSync(elsewhere, { mode: 0o700 });
    writeFileSync(join(elsewhere, `${"a".repeat(16)}.json`), "not the node's");
    renameSync(folder, join(root, "before"));
    symlinkSync(elsewhere, folder);
    node.update({ control: ["ipc:///tmp/a"] });
    await reported;
    expect(reports).toEqual(["down EFSM"]);
    expect(readdirSync(elsewhere)).toEqual([`${"a".repeat(16)}.json`]);
    rmSync(folder);
    await untilNames("a@host");
    expect(reports).toEqual(["down EFSM", "up"]);
    await node.close();
    expect(readdirSync(elsewhere)).toEqual([`${"a".repeat(16)}.json`]);
  });

  it.skipIf(missing("mounts"))(
    "is shown as soon as its disk has room, and in another folder meanwhile",
    async () => {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k,mode=700", "shoal-test", folder]);
      try {
        expect(() => writeFileSync(join(folder, "filler"), Buffer.alloc(1_000_000))).toThrow(/ENOSPC/);
        const second = join(root, "two", "nodes");
        const other = keep("b", [folder, second]);
        await expect
          .poll(async () => (await namesIn([second])).length, { timeout: 10_000, interval: 10 })
          .toBe(1);
        expect(reports).toEqual([]);
        await other.close();

        const node = keep("a");
        await reported;
        expect(reports).toEqual(["down ENOSPC"]);
        expect(readdirSync(folder)).toEqual(["filler"]);
        rmSync(join(folder, "filler"));
        await untilNames("a@host");
        expect(reports).toEqual(["down ENOSPC", "up"]);
        await node.close();
      } finally {
        execFileSync("umount", [folder]);
      }
    },
  );

  it("is taken out though it ends while it starts", async () => {
    const node = keep("a");
    await node.close();
    expect(existsSync(folder) ? readdirSync(folder) : []).toEqual([]);
  });
});

describe("a ClusterNode", () => {
  it("is among the names of its host from its start to its end, unless it does not want to", async () => {
    const options = { group: `names-${process.pid}`, multicast: false } as const;
    const node = new ClusterNode({ name: "shown", ...options });
    const hidden = new ClusterNode({ name: "hidden", registry: false, ...options });
    open.push(node, hidden);
    await Promise.all([node.start(), hidden.start()]);
    node.showControl(["ipc:///tmp/x"]);
    const own = async (): Promise<ClusterNodeEntry[]> =>
      (await clusterNames()).filter(({ group }) => group === options.group);
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
    expect(() => node.showControl(["x".repeat(257)])).toThrowError(
      expect.objectContaining({ code: "EINVAL" }),
    );
    await node.leave();
    expect(await own()).toEqual([]);
    expect(hidden.stats().dropped).toEqual({});
  });

  it("is shown with the address that it has now", async () => {
    const node = new ClusterNode({ name: "moves", group: `moves-${process.pid}`, multicast: false });
    open.push(node);
    await node.start();
    node.onAddress("192.0.2.7:7946");
    const found = async (): Promise<string | undefined> =>
      (await clusterNames()).find(({ id }) => id === node.id)?.address;
    await expect.poll(found, { timeout: 10_000 }).toBe("192.0.2.7:7946");
  });

  it("reports once that it cannot be shown", async () => {
    // No folder is this user's.
    vi.stubEnv("TMPDIR", root);
    vi.stubEnv("XDG_RUNTIME_DIR", root);
    vi.spyOn(process, "getuid").mockReturnValue(4_294_000_000);
    try {
      const node = new ClusterNode({ name: "unshown", group: `unshown-${process.pid}`, multicast: false });
      open.push(node);
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
    expect(foldersOf({ XDG_RUNTIME_DIR: "/run/own" })[0]).toBe("/run/own/shoal/nodes");
    expect(foldersOf({ XDG_RUNTIME_DIR: "relative" })[0]).toBe(`/run/user/${uid}/shoal/nodes`);
    expect(foldersOf({ SHOAL_RUNTIME_DIR: "/own", XDG_RUNTIME_DIR: "/run/own" })).toEqual(["/own/nodes"]);
    expect(foldersOf({}).length).toBe(2);
  });
});
