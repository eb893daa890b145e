/** Titanic: a broker, the store, a client that leaves requests, and a worker for requests to be answered. */
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LmdbStore, MajordomoClient, MajordomoWorker, Titanic, TitanicClient } from "shoal/patterns";
import { Bodies } from "../../../bodies.js";
import { OnceChecker } from "../../../sequences.js";
import type { Side } from "../side.js";
import { broker } from "./majordomo.js";
import type { Role, Roles } from "./role.js";

/** A service without workers, whose requests stay in the store. */
const NOBODY = "nobody";
const SERVICE = "echo";

/** Stored requests that are checked after the clock has stopped. */
const SAMPLE = 1_000;

const titanic: Role = async (side) => {
  // On two machines there is no folder of the runner; the user can inspect the temporary one.
  const folder = side.option("folder", "") || (await mkdtemp(join(tmpdir(), "shoal-bench-titanic-")));
  const disk = LmdbStore.open(join(folder, "titanic"));
  const service = new Titanic(side.endpoint, disk);
  await side.ready();
  await side.stopped;
  const { stored, store } = service.stats();
  const perCommit = store.operations / Math.max(1, store.commits);
  await side.done({ messages: stored, bytes: stored * side.size, extra: { perCommit } });
  await service.close({ linger: 0 });
  await disk.close();
};

const worker: Role = async (side) => {
  const echo = new MajordomoWorker(side.endpoint, SERVICE, (frames) => frames, { concurrency: 256 });
  await new Promise<void>((resolve) => echo.events.on("broker:joined", () => resolve()));
  await side.ready();
  await side.stopped;
  await side.done({ messages: 0, bytes: 0 });
  await echo.close({ linger: 0 });
};

/**
 * Runs `one` for each number, with as many at once as the case requires.
 * @param done called after each with the number of finished ones
 */
async function inLanes(side: Side, one: (k: number) => Promise<void>, done: (count: number) => void) {
  const total = side.warmup + side.count;
  let begun = 0;
  let over = 0;
  const lane = async () => {
    while (begun < total) {
      await one(begun++);
      if (++over === side.warmup) side.begin();
      done(over);
    }
  };
  await Promise.all(Array.from({ length: side.number("window", 1) }, lane));
  side.end();
}

/** A request counts when it is on disk. Afterwards a sample is requested, which must still be there. */
async function store(side: Side, client: TitanicClient): Promise<void> {
  const bodies = new Bodies(side.size);
  const uuids = new Set<string>();
  const fifth = Math.max(1, Math.floor(side.count / 5));
  const times: number[] = [];
  await side.ready();
  await inLanes(
    side,
    async (k) => void uuids.add(await client.request(NOBODY, bodies.makeOwn(k))),
    (over) => {
      if (over >= side.warmup && (over - side.warmup) % fifth === 0) times.push(performance.now());
    },
  );
  const all = [...uuids];
  const step = Math.ceil(all.length / SAMPLE);
  const sample = all.filter((_, i) => i % step === 0);
  const replies = await Promise.all(sample.map((uuid) => client.reply(uuid)));
  const kept = replies.every(({ status }) => status === "300");
  const rateOf = (from = Number.NaN, to = Number.NaN) => (fifth / (to - from)) * 1e3;
  await side.done({
    messages: side.count,
    bytes: side.count * side.size,
    ordered: kept && all.length === side.warmup + side.count,
    extra: { held: rateOf(times.at(-2), times.at(-1)) / rateOf(times[0], times[1]) },
  });
}

/** A request counts when its reply was fetched, and Titanic was asked to remove it. */
async function workOff(side: Side, client: TitanicClient): Promise<void> {
  const bodies = new Bodies(side.size);
  const checker = new OnceChecker(side.size, side.warmup, side.count);
  await side.ready();
  await inLanes(
    side,
    async (k) => {
      const uuid = await client.request(SERVICE, bodies.makeOwn(k));
      const { status, body } = await client.wait(uuid, { interval: 20, maxInterval: 100 });
      if (status !== "200") throw new Error(`request ${k} ended with ${status}`);
      checker.take(body[0] as Buffer);
      await client.forget(uuid);
    },
    () => undefined,
  );
  const { checksum, ordered } = checker;
  await side.done({ messages: side.count, bytes: side.count * side.size, checksum, ordered });
}

const client: Role = async (side) => {
  const asker = new MajordomoClient(side.endpoint, { maxInFlight: side.number("window", 1) });
  const work = side.option("until", "acknowledged") === "answered" ? workOff : store;
  await work(side, new TitanicClient(asker));
  await asker.close();
};

export const roles: Roles = { broker, titanic, worker, client };
