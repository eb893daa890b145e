/** Nothing is acknowledged before it is on the disk, and what is unknown is reported as unknown. */
import { execFileSync } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { MajordomoHandler } from "../../../src/patterns/majordomo/index.js";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "../../../src/patterns/majordomo/index.js";
import { Titanic, TitanicClient } from "../../../src/patterns/titanic/index.js";
import { GroupCommit } from "../../../src/store/store.js";
import { type Child, start } from "../../process/child.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { removeAfterEach, sharedFolder } from "../../support/folders.js";
import { gate } from "../../support/gate.js";
import { LONG } from "../../support/long.js";
import { missing, peerAt } from "../../support/peers.js";
import { watch } from "../../support/settled.js";
import { GatedStore } from "./gated-store.js";
import { QUICK } from "./open.js";

const makeFolder = removeAfterEach();
const keep = closeAfterEach();
const WAIT = { interval: 5, maxInterval: 20 };

describe("Titanic, on a store that is slow or fails,", () => {
  let store: GatedStore;
  let titanic: Titanic;
  let client: TitanicClient;
  let raw: MajordomoClient;
  let calls: number;

  beforeEach(async () => {
    const endpoint = await keep(new MajordomoBroker()).bind("tcp://127.0.0.1:*");
    store = new GatedStore();
    titanic = keep(new Titanic(endpoint, store, QUICK));
    raw = keep(new MajordomoClient(endpoint));
    client = new TitanicClient(raw);
    calls = 0;
    const echo = (frames: Buffer[]): Buffer[] => {
      calls += 1;
      return frames;
    };
    keep(new MajordomoWorker(endpoint, "echo", echo));
  });

  const ask = async (name: string, ...frames: string[]): Promise<string[]> =>
    (await raw.request(name, frames)).map(String);

  /** Titanic has answered several others meanwhile. */
  async function turns(): Promise<void> {
    for (let i = 0; i < 5; i++) await ask("titanic.reply", "0".repeat(32));
  }

  it.each([
    ["titanic.request", "other", "x"],
    ["titanic.store", "0123456789ABCDEF0123456789ABCDEF", "other", "x"],
    ["titanic.close", "0123456789ABCDEF0123456789ABCDEF"],
  ])("acknowledges no %s before the flush", async (name, ...frames) => {
    const { passed: promise, open } = gate();
    store.flush = promise;
    const answer = ask(name, ...frames);
    const outcome = watch(answer);
    const method = name === "titanic.close" ? "forget" : "put";
    await expect.poll(() => store.calls.get(method)).toBe(1);
    await turns();
    expect(outcome.state).toBe("pending");
    open();
    expect((await answer)[0]).toBe("200");
  });

  it("closes a second after its linger at the latest, although the store does not answer", async () => {
    const uuid = await client.request("echo", "x");
    store.flush = new Promise(() => undefined); // For the reply.
    await expect.poll(() => store.calls.get("answer")).toBe(1);
    await titanic.close({ linger: 0 });
    expect(store.rows.get(uuid.toLowerCase())).toBeDefined();
  });

  it("reports to a client of RFC 9 that an outcome is unknown", async () => {
    store.failures.push({ method: "put", reason: "outcome-unknown" });
    expect(await ask("titanic.request", "other", "x")).toEqual(["502"]);
    store.failures.push({ method: "put", reason: "failed" });
    expect(await ask("titanic.request", "other", "x")).toEqual(["500"]);
    store.failures.push({ method: "forget", reason: "outcome-unknown" });
    expect(await ask("titanic.close", "0".repeat(32))).toEqual(["502"]);
  });

  it("reports that the outcome is unknown, and takes the same UUID later", async () => {
    const uuid = client.newUuid();
    store.failures.push({ method: "put", reason: "outcome-unknown" });
    await expect(client.request("other", "x", { uuid })).rejects.toMatchObject({
      code: "ERR_STORE",
      reason: "outcome-unknown",
      message: expect.stringContaining(uuid),
    });
    expect(await client.request("other", "x", { uuid })).toBe(uuid);
    expect(store.rows.size).toBe(1);
  });

  it.each([
    "outcome-unknown",
    "failed",
  ] as const)("keeps a reply when the store comes back from %j, and does the work once", async (reason) => {
    for (let i = 0; i < 3; i++) store.failures.push({ method: "answer", reason });
    const uuid = await client.request("echo", "x");
    expect(await client.wait(uuid, WAIT)).toEqual({ status: "200", body: [Buffer.from("x")] });
    await expect.poll(() => titanic.stats()).toMatchObject({ answered: 1, inFlight: 0 });
    expect(calls).toBe(1);
  });
});

it("group commit cuts batches by bytes, and refuses more of them than may wait", async () => {
  const MIB = 2 ** 20;
  const batches: number[][] = [];
  const { passed: promise, open } = gate();
  const commits = new GroupCommit<number, number>((operations) => {
    batches.push([...operations]);
    return promise.then(() => operations);
  }, 100);
  const add = (mib: number): Promise<number> => commits.add(mib, mib * MIB);
  const first = [add(300)];
  await expect.poll(() => batches.length).toBe(1);
  // It is on its way, and does not count any more.
  const later = [16, 16, 1, 40, 1].map(add);
  const rest = [add(182)];
  await expect(add(1)).rejects.toMatchObject({ code: "ERR_STORE", reason: "overloaded" });
  const free = commits.add(0);
  open();
  expect(await Promise.all([...first, ...later, ...rest, free])).toEqual([300, 16, 16, 1, 40, 1, 182, 0]);
  expect(batches).toEqual([[300], [16, 16], [1], [40], [1], [182], [0]]);
  expect(await add(256)).toBe(256);
});

// The system's flush waits until a file is there: a library put before the C library's own.
const SHIM = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int held(const char *name, int file) {
  const char *path = getenv("GATE");
  if (path != NULL && access(getenv("ARMED"), F_OK) == 0 && access(path, F_OK) != 0) {
    write(1, "flushing\\n", 9);
    while (access(path, F_OK) != 0) usleep(1000);
  }
  int (*flush)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  return flush(file);
}
int fdatasync(int file) { return held("fdatasync", file); }
int fsync(int file) { return held("fsync", file); }
`;
// The thread that flushes is not this one: its event loop goes on.
const PROGRAM = `
import { writeFileSync, writeSync } from "node:fs";
import { LmdbStore } from "shoal/patterns";
const [directory, armed] = process.argv.slice(1);
const store = LmdbStore.open(directory);
const request = (n) => ({ uuid: Buffer.alloc(16, n), service: Buffer.from("x"), body: [Buffer.from("y")], expires: 1e15 });
await store.put(request(1));
writeFileSync(armed, "");
let done = false;
const put = store.put(request(2)).then(() => { done = true; writeSync(1, "acknowledged\\n"); });
process.stdin.once("data", () => writeSync(1, done ? "too early\\n" : "still waiting\\n"));
await put;
await store.close();
process.exit(0);
`;

const TITANIC = `
import { LmdbStore, Titanic } from "shoal/patterns";
const [endpoint, directory, maxAttempts] = process.argv.slice(1);
new Titanic(endpoint, LmdbStore.open(directory), {
  checkInterval: 20, maxCheckInterval: 50, retryDelay: 5, maxRetryDelay: 20, scanInterval: 50, maxAttempts: Number(maxAttempts),
});
console.log("serving");
`;

/** The flush is held by a library that is loaded first. */
const NOT_HELD = process.platform === "linux" ? missing("cc") : "libraries are loaded first on Linux only";

describe.skipIf(NOT_HELD)("the store on LMDB", () => {
  const library = sharedFolder();
  const shim = join(library, "shim.so");
  let directory: string;

  beforeAll(() => {
    const source = join(library, "shim.c");
    writeFileSync(source, SHIM);
    execFileSync(peerAt("cc"), ["-shared", "-fPIC", "-o", shim, source, "-ldl"], { stdio: "pipe" });
  });
  beforeEach(() => {
    directory = makeFolder();
  });

  it("acknowledges nothing before the system has flushed", { timeout: 30_000 }, async () => {
    const [path, armed] = ["gate", "armed"].map((name) => join(directory, name)) as [string, string];
    const env = { LD_PRELOAD: shim, GATE: path, ARMED: armed };
    const child = start(PROGRAM, { args: [join(directory, "store"), armed], env });
    keep({ close: () => child.kill("SIGKILL") });
    expect(await child.line()).toBe("flushing");
    child.tell("?");
    expect(await child.line()).toBe("still waiting");
    expect(existsSync(path)).toBe(false);
    writeFileSync(path, "");
    let line = await child.line();
    while (line === "flushing") line = await child.line();
    expect(line).toBe("acknowledged");
  });

  describe("killed with -9 while a commit is on its way to the disk", () => {
    let endpoint: string;
    let client: TitanicClient;
    let armed: string;

    beforeEach(async () => {
      armed = join(directory, "armed");
      const quick = { heartbeatInterval: 100 };
      endpoint = await keep(new MajordomoBroker(quick)).bind("tcp://127.0.0.1:*");
      client = new TitanicClient(keep(new MajordomoClient(endpoint, { timeout: 20_000, ...quick })));
    });

    const work = (handler: MajordomoHandler): MajordomoWorker =>
      keep(new MajordomoWorker(endpoint, "echo", handler));

    async function run(maxAttempts = 10): Promise<Child> {
      const env = { LD_PRELOAD: shim, GATE: join(directory, "gate"), ARMED: armed };
      const args = [endpoint, join(directory, "store"), String(maxAttempts)];
      const titanic = start(TITANIC, { args, env, limit: 60_000 });
      keep({ close: () => titanic.kill("SIGKILL") });
      expect(await titanic.line()).toBe("serving");
      return titanic;
    }

    async function killAtFlush(running: Child, maxAttempts?: number): Promise<void> {
      expect(await running.line()).toBe("flushing");
      await running.kill("SIGKILL");
      rmSync(armed);
      await run(maxAttempts);
    }

    it("of a request: its client's repetition stores it once", { timeout: 60_000 }, async () => {
      const running = await run();
      writeFileSync(armed, "");
      const asked = client.request("echo", "x", { retries: 5 });
      await killAtFlush(running);
      const uuid = await asked;
      let calls = 0;
      work((frames) => {
        calls += 1;
        return frames;
      });
      expect((await client.wait(uuid, WAIT)).status).toBe("200");
      expect(calls).toBe(1);
    });

    it("of a reply: the request is given again", { timeout: 60_000 }, async () => {
      const running = await run();
      let calls = 0;
      work((frames) => {
        if (++calls === 1) writeFileSync(armed, "");
        return frames;
      });
      const uuid = await client.request("echo", "x");
      await killAtFlush(running);
      expect(await client.wait(uuid, WAIT)).toEqual({ status: "200", body: [Buffer.from("x")] });
    });

    it.runIf(LONG)("of a dead letter: it dies once", { timeout: 60_000 }, async () => {
      const running = await run(1);
      let calls = 0;
      work(() => {
        if (++calls === 1) writeFileSync(armed, "");
        throw new Error("no");
      });
      const uuid = await client.request("echo", "x");
      await killAtFlush(running, 1);
      expect((await client.wait(uuid, WAIT)).status).toBe("503");
    });

    it.runIf(LONG)("of a close: closing again is done", { timeout: 60_000 }, async () => {
      const running = await run();
      const uuid = await client.request("nobody", "x");
      writeFileSync(armed, "");
      const closed = client.forget(uuid, { retries: 5 });
      await killAtFlush(running);
      await closed;
      expect((await client.reply(uuid)).status).toBe("400");
    });
  });
});
