/**
 * The file of a store on LMDB is cut off, or pages of it are zeroed or overwritten. Opened in a process of its own, it is
 * refused with the reason, or everything that was stored is there or reported as damaged: never a signal, never
 * "unknown".
 */

import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, expect, it } from "vitest";
import { CloneLmdbStore } from "../../../src/patterns/clone/store.js";
import { LastValueCache } from "../../../src/patterns/last-value-cache/last-value-cache.js";
import { LmdbStore } from "../../../src/patterns/titanic/lmdb-store.js";
import { findDamage } from "../../../src/store/lmdb.js";
import { Random } from "../../../src/testing/random.js";
import { Child, start } from "../../process/child.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { sharedFolder } from "../../support/folders.js";
import { LONG } from "../../support/long.js";
import { request } from "./store-contract.js";

const CASES = LONG ? 3_000 : 20;
const LIMIT = LONG ? 1_200_000 : 120_000;
const HOUR = 3_600_000;

const keep = closeAfterEach();
const root = sharedFolder();
const template = join(root, "template");
let whole: Buffer;
const expected: [string, string][] = [];

beforeAll(async () => {
  const store = LmdbStore.open(template);
  const asked = Array.from({ length: 240 }, (_, i) => {
    const body = "body ".repeat(i % 40 === 0 ? 3_000 : i % 7 === 0 ? 200 : 5);
    return request(body, Buffer.from(`service ${i % 5}`), 1_000 * HOUR);
  });
  // Several commits, so that there are free pages.
  for (let i = 0; i < asked.length; i += 40)
    await Promise.all(asked.slice(i, i + 40).map((r) => store.put(r)));
  for (const [i, { uuid }] of asked.entries()) {
    const hex = uuid.toString("hex");
    if (i % 4 === 1) {
      await store.answer(uuid, [Buffer.from("reply ".repeat(i))], Date.now() + HOUR);
      expected.push([hex, "answered"]);
    } else if (i % 16 === 2) {
      await store.markDead(uuid, { attempts: 1, reason: "no", died: 1, expires: Date.now() + HOUR });
      expected.push([hex, "dead"]);
    } else if (i % 16 === 3) {
      await store.forget(uuid);
      expected.push([hex, "unknown"]);
    } else expected.push([hex, "pending"]);
  }
  await store.close();
  whole = readFileSync(join(template, "data.mdb"));
}, LIMIT);

type Damage = (file: string, random: Random) => string;

function overwrite(file: string, at: number, bytes: Buffer): void {
  const changed = Buffer.from(whole);
  bytes.copy(changed, at);
  writeFileSync(file, changed);
}

const bytes = (length: number, random: Random): Buffer =>
  Buffer.from(Array.from({ length }, () => random.integer(0, 255)));

const DAMAGES: readonly Damage[] = [
  (file, random) => {
    const length = random.integer(0, whole.length - 1);
    truncateSync(file, length);
    return `cut off at ${length}`;
  },
  (file, random) => {
    const page = 4_096 * random.integer(0, whole.length / 4_096 - 1);
    overwrite(file, page, Buffer.alloc(4_096));
    return `page at ${page} zeroed`;
  },
  (file, random) => {
    const page = 4_096 * random.integer(0, whole.length / 4_096 - 1);
    overwrite(file, page, bytes(4_096, random));
    return `page at ${page} garbage`;
  },
  (file, random) => {
    const [from, to] = [
      random.integer(0, whole.length / 4_096 - 1),
      random.integer(0, whole.length / 4_096 - 1),
    ];
    overwrite(file, 4_096 * to, whole.subarray(4_096 * from, 4_096 * (from + 1)));
    return `page ${from} written to ${to}`;
  },
];

it("a damaged file ends no process, and loses nothing in silence", { timeout: LIMIT }, async () => {
  const program = fileURLToPath(new URL("damage-program.js", import.meta.url));
  const child = new Child(process.execPath, [program, JSON.stringify(expected)], { limit: LIMIT });
  keep({ close: () => child.kill("SIGKILL") });
  const counts = { opened: 0, refused: 0 };
  const wrong: string[] = [];
  for (let i = 0; i < CASES; i++) {
    const random = new Random(i + 1);
    const directory = join(root, String(i));
    mkdirSync(directory);
    for (const name of readdirSync(template)) copyFileSync(join(template, name), join(directory, name));
    const file = join(directory, "data.mdb");
    const what = (DAMAGES[i % DAMAGES.length] as Damage)(file, random);
    const before = readFileSync(file);
    child.tell(directory);
    const line = await child
      .line()
      .catch(async () => `the process ended: ${JSON.stringify({ ...(await child.outcome), stdout: "" })}`);
    if (line === "opened") counts.opened += 1;
    else if (line.startsWith("refused: ")) {
      counts.refused += 1;
      if (line.includes("is damaged") && !readFileSync(file).equals(before))
        wrong.push(`${i}: ${what}: the file was changed`);
    } else wrong.push(`${i}: ${what}: ${line}`);
    rmSync(directory, { recursive: true });
    if (line.startsWith("the process")) break;
  }
  expect(wrong).toEqual([]);
  expect(counts.refused).toBeGreaterThan(CASES / 4);
  expect(counts.opened).toBeGreaterThan(CASES / 10);
});

it("is refused with the reason and left as it is, and the store begins empty once it is renamed", async () => {
  const directory = join(root, "aside");
  mkdirSync(directory);
  const file = join(directory, "data.mdb");
  writeFileSync(file, whole.subarray(0, whole.length - 8_192));
  expect(() => LmdbStore.open(directory)).toThrow(
    expect.objectContaining({ code: "ERR_STORE", reason: "damaged", message: expect.stringContaining(file) }),
  );
  expect(readFileSync(file)).toHaveLength(whole.length - 8_192);
  renameSync(file, `${file}.damaged`);
  const store = LmdbStore.open(directory);
  expect(store.stats()).toMatchObject({ pending: 0 });
  await store.close();
});

it("is reported by a clone's store and a last value cache as well", () => {
  const directory = join(root, "others");
  mkdirSync(directory);
  writeFileSync(join(directory, "data.mdb"), whole.subarray(0, 16_384));
  const damaged = expect.objectContaining({ code: "ERR_STORE", reason: "damaged" });
  expect(() => CloneLmdbStore.open(directory)).toThrow(damaged);
  expect(() => new LastValueCache({ store: directory })).toThrow(damaged);
});

it("is not suspected while another process writes to it", { timeout: LIMIT }, async () => {
  const directory = join(root, "busy");
  const child = start(
    `import { LmdbStore } from "shoal/patterns";
     const store = LmdbStore.open(process.argv[1], { minFreeBytes: 0 });
     const live = [];
     for (let n = 1; ; n++) {
       const uuids = Array.from({ length: 50 }, (_, i) => { const u = Buffer.alloc(16); u.writeUInt32BE(n, 2); u[15] = i; return u; });
       live.push(uuids);
       const service = Buffer.from("x");
       await Promise.all(uuids.map((uuid, i) =>
         store.put({ uuid, service, body: [Buffer.alloc(i === 0 ? 20_000 : 500)], expires: 1e15 })));
       if (live.length > 20) await Promise.all(live.splice(n % 10, 10).flat().map((uuid) => store.forget(uuid)));
       if (n % 5 === 0) console.log(n);
     }`,
    { args: [directory], limit: LIMIT },
  );
  keep({ close: () => child.kill("SIGKILL") });
  for (let i = 0; i < 30; i++) {
    await child.line();
    expect(findDamage(directory)).toBeUndefined();
  }
  await child.kill("SIGKILL");
  expect(findDamage(directory)).toBeUndefined();
  const store = LmdbStore.open(directory);
  expect(store.stats().pending).toBeGreaterThan(0);
  await store.close();
});
