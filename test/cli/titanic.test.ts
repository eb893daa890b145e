/** `shoal majordomo broker --titanic`: requests that outlive the broker. */
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { LmdbStore } from "../../src/patterns/titanic/index.js";
import { formatUuid } from "../../src/patterns/titanic/protocol.js";
import { fails, run, startUnread, startWithout } from "./in-process.js";
import { Child, file, jsonOf, MAIN, startWithout as spawnWithout, useShoal } from "./support.js";

useShoal();

const CALL = ["majordomo", "call"] as const;

async function statusOf(uuid: string, endpoint: string): Promise<string> {
  const { code, stdout, stderr } = await run("", ...CALL, "titanic.reply", uuid, "--connect", endpoint);
  if (code !== 0) throw new Error(stderr);
  return String(stdout).trim();
}

/** Asks until the request is answered. */
async function answered(uuid: string, endpoint: string): Promise<void> {
  await expect.poll(() => statusOf(uuid, endpoint), { interval: 100 }).toBe("200 HELLO");
}

it("keeps a request when the broker is killed, and answers it once there is a worker", async () => {
  const store = file();
  const titanic = ["majordomo", "broker", "--titanic", store, "--bind"] as const;
  const first = spawnWithout(...titanic, "tcp://127.0.0.1:*");
  const endpoint = await first.endpoint();
  const kept = await run("", ...CALL, "titanic.request", "upper", "hello", "--connect", endpoint);
  expect([kept.code, String(kept.stdout)]).toEqual([0, expect.stringMatching(/^200 [0-9A-F]{32}\n$/)]);
  const uuid = String(kept.stdout).slice(4, 36);
  expect(await statusOf(uuid, endpoint)).toBe("300");
  first.kill();
  await first.ended;

  const second = startWithout(...titanic, endpoint);
  await second.until("stderr", /keeping requests in .*: 1 pending/);
  const worker = startWithout("majordomo", "worker", "upper", "--connect", endpoint, "--exec", "tr a-z A-Z");
  await worker.until("stderr", /offering upper/);
  await answered(uuid, endpoint);
  const closed = await run("", ...CALL, "titanic.close", uuid, "--connect", endpoint);
  expect(String(closed.stdout)).toBe("200\n");
  expect(await statusOf(uuid, endpoint)).toBe("400");
  await second.stop();
}, 60_000);

it("says what is missing where the package lmdb is not installed, before it listens", async () => {
  const hook = `${file()}.cjs`;
  writeFileSync(
    hook,
    `const Module = require("node:module");
const resolve = Module._resolveFilename;
Module._resolveFilename = function (name, ...rest) {
  if (name === "lmdb") throw Object.assign(new Error("Cannot find module 'lmdb'"), { code: "MODULE_NOT_FOUND" });
  return resolve.call(this, name, ...rest);
};\n`,
  );
  const args = ["majordomo", "broker", "--bind", "tcp://127.0.0.1:*", "--titanic", file()];
  const child = new Child(process.execPath, ["--require", hook, MAIN, ...args], { stdin: "ignore" });
  await child.fails(
    /^shoal majordomo broker: --titanic needs the npm package lmdb, which is not installed: npm install lmdb\n$/,
  );
});

it("gives a request up after some attempts; dead letters are listed, removed and stored again", async () => {
  const store = file();
  const options = ["--titanic-attempts", "1", "--titanic", store];
  const broker = spawnWithout("majordomo", "broker", "--bind", "tcp://127.0.0.1:*", ...options);
  const endpoint = await broker.endpoint();
  const worker = startWithout("majordomo", "worker", "upper", "--connect", endpoint, "--exec", "exit 3");
  await worker.until("stderr", /offering upper/);
  const leave = async (body: string): Promise<string> => {
    const kept = await run("", ...CALL, "titanic.request", "upper", body, "--connect", endpoint);
    return String(kept.stdout).slice(4, 36);
  };
  const uuids = [await leave("hello"), await leave("world")] as const;
  for (const uuid of uuids) await broker.until("stderr", new RegExp(`${uuid} for upper failed 1 times`));
  expect(await statusOf(uuids[0], endpoint)).toMatch(/^503 /);

  const listed = await run("", "titanic", "dead", store);
  expect(String(listed.stdout).trim().split("\n")).toEqual(
    uuids.map((uuid) => expect.stringMatching(new RegExp(`^${uuid} upper 1 \\d{4}-.*Z upper: `))),
  );
  const json = await run("", "titanic", "dead", store, "--json");
  expect(jsonOf(json.stdout)[1]).toMatchObject({ uuid: uuids[1], frames: ["world"] });

  expect(await run("", "titanic", "remove", store, uuids[1])).toMatchObject({ code: 0 });
  expect(await run("", "titanic", "remove", store, uuids[1])).toMatchObject({ code: 1 });
  expect(await run("", "titanic", "remove", store)).toMatchObject({ code: 2 });
  expect(await run("", "titanic", "remove", store, "--all", uuids[0])).toMatchObject({ code: 2 });
  worker.signal("SIGTERM");
  await worker.ended;
  const other = startWithout("majordomo", "worker", "upper", "--connect", endpoint, "--exec", "tr a-z A-Z");
  await other.until("stderr", /offering upper/);
  // Alongside the broker, which goes on to serve the folder.
  expect(await run("", "titanic", "remove", store, "--all")).toMatchObject({ code: 0 });
  expect(await statusOf(uuids[0], endpoint)).toBe("400");
  const stored = await run("", ...CALL, "titanic.store", uuids[0], "upper", "hello", "--connect", endpoint);
  expect(String(stored.stdout)).toBe(`200 ${uuids[0]}\n`);
  await answered(uuids[0], endpoint);
  expect(await statusOf(uuids[1], endpoint)).toBe("400");
  expect(String((await run("", "titanic", "dead", store)).stdout)).toBe("");
  expect(await run("", "titanic", "dead", file())).toMatchObject({ code: 1 });
}, 60_000);

/** Dead letters of such services and reasons, and their UUIDs. */
async function deadLetters(store: string, letters: readonly (readonly [service: string, reason: string])[]) {
  const lmdb = LmdbStore.open(store);
  const expires = Date.now() + 60_000;
  const uuids: string[] = [];
  for (const [at, [name, reason]] of letters.entries()) {
    const uuid = Buffer.alloc(16, at + 1);
    const service = Buffer.from(name);
    await lmdb.put({ uuid, service, body: [Buffer.from("body")], expires });
    await lmdb.claim(service, 1);
    await lmdb.markDead(uuid, { attempts: 1, reason, died: 0, expires });
    uuids.push(formatUuid(uuid));
  }
  await lmdb.close();
  return uuids;
}

it("shows what clients and workers wrote without what would steer a terminal", async () => {
  const store = file();
  const [uuid] = await deadLetters(store, [["up\x1b[2Jper", "it\nfailed \x1b]0;title\x07 \u009b1m"]]);
  const { code, stdout } = await run("", "titanic", "dead", store);
  expect([code, String(stdout)]).toEqual([
    0,
    `${uuid} up\\u{1b}[2Jper 1 1970-01-01T00:00:00.000Z it failed \\u{1b}]0;title\\u{7} \\u{9b}1m\n`,
  ]);
});

it("prints dead letters no faster than they are read, and ends by a signal meanwhile", async () => {
  const store = file();
  const reason = "r".repeat(1_000);
  const uuids = await deadLetters(store, Array(250).fill(["upper", reason]));
  const command = startUnread("titanic", "dead", store);
  await command.until("stdout", new RegExp(`${uuids[0]}`));
  command.signal("SIGTERM");
  await command.fails(/^shoal titanic dead: stopped before all letters were printed\n$/);
});

it("refuses a folder whose file is cut off", async () => {
  const store = file();
  const command = ["majordomo", "broker", "--bind", "tcp://127.0.0.1:*", "--titanic", store];
  await LmdbStore.open(store).close();
  truncateSync(join(store, "data.mdb"), 8_192);
  await fails(1, "data.mdb is damaged", [...command, "-q"]);
  const alone = ["majordomo", "broker", "--bind", "tcp://127.0.0.1:*", "--titanic-attempts", "3"];
  await fails(2, "--titanic", alone);
}, 60_000);
