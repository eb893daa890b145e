/** `shoal clone`: a map's servers and what changes it. */
import { describe, expect, it } from "vitest";
import { CloneClient } from "../../src/patterns/clone/index.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { type Command, fails, keygen, run, start, startWithout } from "./in-process.js";
import { type Ended, file, ipc, startWithout as spawnWithout, useShoal, type Watched } from "./support.js";

useShoal();

const QUICK = ["--heartbeat", "200"];

/** A server, and what connects to it. */
const startServer = (...options: string[]) => startServerBy(startWithout, ...options);

async function startServerBy<W extends Watched>(
  by: (...args: string[]) => W,
  ...options: string[]
): Promise<{ server: W; connect: string[] }> {
  const endpoint = ipc();
  const server = by("clone", "server", "--bind", endpoint, ...options);
  await server.until("stderr", /listening at /);
  return { server, connect: ["--connect", endpoint] };
}

const closed = closeAfterEach();

/** A client in this process: what a test is not about need not be a process. */
function clientOf(connect: readonly string[]): CloneClient {
  return closed(new CloneClient(connect.filter((text) => text.startsWith("ipc:"))));
}

async function contentOf(connect: readonly string[]): Promise<Record<string, string>> {
  const client = clientOf(connect);
  await client.ready();
  return Object.fromEntries(Array.from(client, ([key, value]) => [key, String(value)]));
}

/** What it printed, of a command that succeeds. */
async function ok(running: Promise<Ended>): Promise<string> {
  const { code, stdout, stderr } = await running;
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return String(stdout);
}

describe("a server and its clients", () => {
  it("set and delete a key only if it has the revision that was read", async () => {
    const { connect } = await startServer();
    await ok(run("", "clone", "set", "lock", "a", "--revision", "0", ...connect));
    await fails(1, /revision/, ["clone", "delete", "lock", "-q", "--revision", "3000000000", ...connect]);
    await fails(1, /revision/, ["clone", "set", "lock", "b", "-q", "--revision", "0", ...connect]);
    const revision = (await ok(run("", "clone", "get", "lock", "--revision", ...connect))).trim();
    expect(await ok(run("", "clone", "get", "lock", "--revision", "--json", ...connect))).toBe(
      `{"key":"lock","revision":${revision}}\n`,
    );
    await ok(run("", "clone", "set", "lock", "c", "--revision", revision, ...connect));
    expect((await run("", "clone", "delete", "lock", "--revision", revision, ...connect)).code).toBe(1);
    expect(await ok(run("", "clone", "get", "lock", ...connect))).toBe("c\n");
    expect(await ok(run("", "clone", "get", "none", "--revision", ...connect))).toBe("0\n");
  });

  it("set, get and delete a key, and say that it is gone", async () => {
    const { server, connect } = await startServer("--json");
    const key = '{"base64":"AP8="}';
    const [, , set] = await Promise.all([
      ok(run("", "clone", "set", "/a/x", "hello", ...connect)),
      ok(run("two\nlines\n", "clone", "set", "motd", "--ttl", "2592000000", ...connect)),
      ok(run('{"base64":"/wA="}', "clone", "set", key, "--json", ...connect)),
    ]);
    expect(set).toMatch(/^\{"key":\{"base64":"AP8="\},"sequence":[123]\}\n$/);
    const get = (...args: string[]) => ok(run("", "clone", "get", ...args, ...connect));
    const got = await Promise.all([
      get("/a/x", "--subtree", "/a/"),
      get("motd", "--raw"),
      get(key, "--json"),
    ]);
    expect(got).toEqual(["hello\n", "two\nlines", `{"key":${key},"value":{"base64":"/wA="}}\n`]);
    await ok(run("", "clone", "delete", "/a/x", ...connect));
    await fails(1, 'no such key: "/a/x"', ["clone", "get", "/a/x", "-q", ...connect]);
    const { stdout } = await server.stop();
    expect(JSON.parse(String(stdout))).toMatchObject({ entries: 2, applied: 4, ephemeral: 1 });
  });

  it("dump the map in order, and load what was dumped", async () => {
    const [from, to] = await Promise.all([startServer(), startServer()]);
    const input = [
      '{"key":"with space","value":"two\\nlines"}',
      "b 2 2",
      '{"key":"{","value":{"base64":"/w=="}}',
      "a  1",
    ];
    expect(await ok(run(`${input.join("\n")}\n`, "clone", "load", ...from.connect))).toBe("");
    const dumped = await ok(run("", "clone", "dump", ...from.connect));
    expect(dumped).toBe(`${[input[3], input[1], input[0], input[2]].join("\n")}\n`);
    await ok(run(dumped, "clone", "load", ...to.connect));
    const dump = (...args: string[]) => ok(run("", "clone", "dump", ...args, ...to.connect));
    const [again, json] = await Promise.all([dump(), dump("b", "--json")]);
    expect(again).toBe(dumped);
    expect(json).toBe('{"key":"b","value":"2 2"}\n');
  });

  it("load up to a malformed line, and name it", async () => {
    const { connect } = await startServer();
    const load = ["clone", "load", "-q", ...connect];
    await fails(1, "line 2: expected a key, a space", load, "x 1\nalone\ny 2\n");
    await fails(1, "line 1: ttl", [...load, "--json"], '{"key":"z","value":"1","ttl":-1}\n');
    expect(await contentOf(connect)).toEqual({ x: "1" });
  });

  it("load ends at an update that fails, though more of the input may come", async () => {
    const { connect } = await startServer();
    const load = start("clone", "load", "--subtree", "/a/", ...connect);
    load.write("/b/x 1\n");
    expect(await load.ended).toMatchObject({ code: 1, stderr: expect.stringMatching(/line 1: .*subtree/) });
  });

  it("watch changes, deletions and ends of time under a prefix", async () => {
    const { connect } = await startServer();
    const lines = start("clone", "watch", "/p/", ...connect);
    const objects = start("clone", "watch", "--json", "--count", "3", ...connect);
    await lines.until("stderr", /watching 0 keys/);
    await objects.until("stderr", /watching 0 keys/);
    const client = clientOf(connect);
    await client.ready();
    await client.set("/q", "other");
    await client.set("/p/eel", "12", { ttl: 100 });
    await lines.until("stdout", /\/p\/eel 12\n\/p\/eel\n/);
    expect(String((await objects.ended).stdout).split("\n")).toEqual([
      '{"key":"/q","value":"other","sequence":1}',
      '{"key":"/p/eel","value":"12","sequence":2}',
      '{"key":"/p/eel","value":null,"sequence":3}',
      "",
    ]);
    expect(String((await lines.stop()).stdout)).toBe("/p/eel 12\n/p/eel\n");
  });

  it("keep the map in a store through a kill", async () => {
    const store = ["--store", file()];
    const first = await startServerBy(spawnWithout, ...store);
    await clientOf(first.connect).set("k", "v");
    first.server.kill();
    await first.server.ended;
    const { server, connect } = await startServer(...store);
    expect(server.stderr).toMatch(/read 1 keys from \S+\n/);
    expect(await contentOf(connect)).toEqual({ k: "v" });
  });
});

/** Two servers, of which the primary serves. */
async function startPair(...options: string[]) {
  const ends = { primary: ipc(), backup: ipc() };
  const begin = (role: "primary" | "backup", peer: string): Command => {
    const pair = ["--binary-star", role, "--peer", peer];
    return startWithout("clone", "server", "--bind", ends[role], ...pair, ...QUICK, ...options);
  };
  const primary = begin("primary", ends.backup);
  const backup = begin("backup", ends.primary);
  await primary.until("stderr", /the backup has all updates/);
  return { primary, backup, ends };
}

it("a pair with CURVE goes on at the backup, and serves nobody without its key", async () => {
  const { publicKey, secretFile } = await keygen();
  const { primary, backup, ends } = await startPair("--curve-certificate", secretFile);
  const both = ["--connect", ends.primary, "--connect", ends.backup, ...QUICK];
  const known = [...both, "--curve-server-key", publicKey];
  primary.signal("SIGTERM");
  await primary.ended;
  const [stranger] = await Promise.all([
    run("", "clone", "set", "k", "theirs", ...both, "--timeout", "1500"),
    ok(run("", "clone", "set", "k", "ours", ...known)),
  ]);
  expect([stranger.code, backup.stderr]).toEqual([1, expect.stringContaining("serving")]);
  expect(stranger.stderr).toContain("Handshake");
  expect(await ok(run("", "clone", "get", "k", ...known))).toBe("ours\n");
}, 20_000);

it("a server that is stopped hands over, though nobody asks the other one", async () => {
  const { primary, backup } = await startPair();
  await backup.until("stderr", /standing by/);
  await primary.stop();
  await backup.until("stderr", /serving/);
}, 9_000);

it("fails in time when there is no server", async () => {
  const nobody = ["-q", "--connect", ipc(), "--timeout", "300"];
  const commands = [["get", "k"], ["set", "k"], ["watch"]];
  const why = "no server sent its map within 300 ms";
  await Promise.all(commands.map((command) => fails(1, why, ["clone", ...command, ...nobody], "k v\n")));
}, 10_000);

it("distinguishes bad usage from failure", async () => {
  const connect = ["--connect", "127.0.0.1:5556"];
  const lines: [readonly string[], string][] = [
    [["get", "k"], "--connect HOST:P"],
    [["get", "k", "--connect", "127.0.0.1:no"], "port"],
    [["set", "HUGZ", "v", ...connect], "command"],
    [["server"], "--port P"],
    [["server", "--port", "5556", "--binary-star", "primary"], "--peer HOST:P"],
    [["server", "--port", "5556", "--peer", "b:5556"], "--binary-star"],
  ];
  await Promise.all(lines.map(([args, what]) => fails(2, what, ["clone", ...args])));
}, 10_000);
