/** shoal node start with sessions, and shoal node sessions: what is listed, removed and refused. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { basename } from "node:path";
import { expect, it, vi } from "vitest";
import {
  MemorySessionStore,
  SessionClient,
  type SessionInfo,
  SessionServer,
} from "../../src/sessions/index.js";
import { fails, run } from "./in-process.js";
import { newCluster, replyTo, startReady } from "./nodes.js";
import { file, ipc, MAIN, useFolder, useRuntimeFolder, written } from "./support.js";

useFolder();
useRuntimeFolder();

type Ready = { readonly sessions: string };

it("serves sessions that are kept in a folder, lists them and removes one", async () => {
  const folder = file();
  const control = ipc();
  const { node, sessions } = await startReady<Ready>(
    ...["--name", "mill", "--cluster", newCluster(), "--control", control],
    ...["--sessions", "tcp://127.0.0.1:*", "--sessions-store", folder],
  );
  const kitchen = new SessionClient(sessions, { id: "kitchen" });
  await kitchen.subscribe("orders/#");
  await kitchen.publish("orders/7", "soup");
  await kitchen.close();
  const hall = new SessionClient(sessions, { id: "hall" });
  await hall.ready();

  const listed = await run("", "node", "sessions", "--control", control);
  expect(listed.stderr).toBe("");
  expect(String(listed.stdout)).toMatch(/^SESSION +STATE +SINCE +FILTERS +QUEUED +BYTES +DROPPED\n/);
  expect(String(listed.stdout)).toMatch(/^hall +connected +.+ +0 +0 +0 +0$/m);
  expect(String(listed.stdout)).toMatch(/^kitchen +kept +.+ +1 +1 +12 +0$/m);
  expect(await replyTo("sessions", "--after", "hall", "--control", control)).toMatchObject({
    sessions: [{ id: "kitchen", queued: 1 }],
  });

  const removed = await run("", "node", "sessions", "--remove", "kitchen", "--control", control);
  expect(String(removed.stdout)).toBe("removed kitchen\n");
  const again = ["node", "sessions", "--remove", "kitchen", "--control", control];
  await fails(1, "The session was removed", again);
  await hall.close();
  await node.stop();
});

it("lists all sessions of a store whose pages are cut, 1,000 in a reply", async () => {
  const control = ipc();
  const { node } = await startReady(
    ...["--name", "mill", "--cluster", newCluster(), "--control", control],
    ...["--sessions", "tcp://127.0.0.1:*", "--sessions-store", "memory"],
  );
  const ids = Array.from({ length: 1_100 }, (_, at) => String(1_000 + at));
  const pages = vi.spyOn(SessionServer.prototype, "sessions").mockImplementation(async (options = {}) => {
    const { after = "", limit = 1_000 } = options;
    const later = ids.filter((id) => id > after);
    return later.slice(0, Math.min(limit, 300)).map((id) => ({ id })) as SessionInfo[];
  });
  const first = await replyTo("sessions", "--control", control);
  expect(first).toMatchObject({ more: "1999", sessions: { length: 1_000 } });
  const second = await replyTo("sessions", "--after", "1999", "--control", control);
  expect(second.sessions).toMatchObject({ length: 100 });
  expect(second).not.toHaveProperty("more");
  pages.mockRestore();
  await node.stop();
});

it("ends at once by a second signal while the store does not answer", async () => {
  const { node } = await startReady(
    ...["--name", "mill", "--cluster", newCluster(), "--no-control"],
    ...["--sessions", "tcp://127.0.0.1:*", "--sessions-store", "memory"],
  );
  const commit = vi.spyOn(MemorySessionStore.prototype, "commit");
  const asked = new Promise<void>((resolve) => {
    commit.mockImplementation(() => {
      resolve();
      return new Promise(() => undefined);
    });
  });
  node.signal("SIGTERM");
  await asked;
  node.signal("SIGTERM");
  expect(await node.ended).toMatchObject({ code: 1, stderr: expect.stringContaining("stopped before") });
  commit.mockRestore();
});

it("serves them by a configuration", async () => {
  const folder = file();
  const control = ipc();
  const config = written(
    `name: mill
cluster: ${newCluster()}
control: ${control}
sessions:
  listen: [tcp://127.0.0.1:*, tcp://127.0.0.1:*]
  store: ${basename(folder)}
  maxQueue: 5
`,
  );
  const { node, sessions } = await startReady<Ready>("--config", config);
  const kitchen = new SessionClient(sessions, { id: "kitchen" });
  await kitchen.subscribe("orders/#");
  const counter = new SessionClient(sessions, { id: "counter" });
  await counter.publish("orders/7", "soup");
  const { topic, data } = await kitchen.receive({ timeout: 30_000 });
  expect([topic, String(data)]).toEqual(["orders/7", "soup"]);
  expect(await replyTo("sessions", "--control", control)).toMatchObject({
    sessions: [{ id: "counter" }, { id: "kitchen", maxQueue: 5 }],
  });
  await Promise.all([counter.close(), kitchen.close()]);
  await node.stop();
  expect(existsSync(folder)).toBe(true);
});

it.each([
  ["no store", "{ listen: tcp://127.0.0.1:* }", /sessions: .*store/],
  ["what is no endpoint", "{ listen: nonsense, store: memory }", /sessions: .*listen/],
  [
    "an unknown key",
    "{ listen: tcp://127.0.0.1:*, store: memory, maxSession: 9 }",
    /maxSession.*maxSessions/,
  ],
  ["no bound", "{ listen: tcp://127.0.0.1:*, store: memory, maxSessions: 0 }", /maxSessions/],
])("finds %s in a configuration", async (_, sessions, expected) => {
  const config = written(`name: mill\nsessions: ${sessions}\n`);
  const { code, stderr } = await run("", "node", "check", config);
  expect(code).toBe(1);
  expect(stderr).toMatch(expected);
});

it("says so where a node serves none", async () => {
  const control = ipc();
  await startReady("--name", "bare", "--cluster", newCluster(), "--control", control);
  await fails(1, "this node serves no sessions (--sessions EP", ["node", "sessions", "--control", control]);
});

it.each([
  ["a store alone", /--sessions: it is missing/, ["--sessions-store", "memory"]],
  ["an endpoint alone", /--sessions-store: it is missing/, ["--sessions", "tcp://127.0.0.1:*"]],
  ["what is not an endpoint", /nonsense/, ["--sessions", "nonsense", "--sessions-store", "memory"]],
  [
    "a store that is not a folder",
    /needs the path of a folder/,
    ["--sessions", "tcp://127.0.0.1:*", "--sessions-store", "redis://localhost"],
  ],
])("refuses %s", async (_, expected, args) => {
  await fails(2, expected, ["node", "start", "-q", "--name", "bad", ...args]);
});

it.runIf(process.platform === "linux")("ends with the reason where the store's folder cannot be made", () => {
  const args = ["--name", "bad", "--cluster", newCluster()];
  const sessions = ["--sessions", "tcp://127.0.0.1:*", "--sessions-store", "/proc/x"];
  // Node's own recursive mkdir never returns there: only a kill ends the process then.
  const { status, stderr } = spawnSync(process.execPath, [MAIN, "node", "start", ...args, ...sessions], {
    timeout: 60_000,
    killSignal: "SIGKILL",
  });
  expect([status, String(stderr)]).toEqual([1, expect.stringMatching(/The store in \/proc\/x .*ENOENT/)]);
});
