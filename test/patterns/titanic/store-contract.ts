/** What every store promises; run on each of them. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { formatUuid, UuidSource } from "../../../src/patterns/titanic/protocol.js";
import type {
  TitanicDamagedRecord,
  TitanicNewRequest,
  TitanicStore,
} from "../../../src/patterns/titanic/store.js";
import { LONG } from "../../support/long.js";

/** How the contract gets at a store. */
export interface StoreUnderTest {
  /** Opens it, empty the first time in each test. */
  open(): Promise<TitanicStore>;
  /** Changes a byte of the request's, or the reply's, record. The store is closed. */
  damage(uuid: Buffer, which: "request" | "reply"): Promise<void>;
}

const uuids = new UuidSource();
const HOUR = 3_600_000;
export const ECHO = Buffer.from("echo");

/** A request for `service`. */
export function request(body = "hello", service: Buffer = ECHO, ttl = HOUR): TitanicNewRequest {
  const now = Date.now();
  return { uuid: uuids.next(now), service, body: [Buffer.from(body)], expires: now + ttl };
}

const inAnHour = (): number => Date.now() + HOUR;
const bodies = (requests: readonly { body: readonly Buffer[] }[]): string[] =>
  requests.map(({ body }) => body.map(String).join("|"));

/** Declares the tests. */
export function storeContract(setUp: () => StoreUnderTest): void {
  let test: StoreUnderTest;
  let store: TitanicStore;

  beforeEach(async () => {
    test = setUp();
    store = await test.open();
  });
  afterEach(async () => {
    await store.close();
  });

  async function reopen(): Promise<void> {
    await store.close();
    store = await test.open();
  }

  /** While it is closed. @returns what it reports of damage from then on */
  async function damage(uuid: Buffer, which: "request" | "reply"): Promise<TitanicDamagedRecord[]> {
    await store.close();
    await test.damage(uuid, which);
    store = await test.open();
    const told: TitanicDamagedRecord[] = [];
    store.onDamage = (record) => told.push(record);
    return told;
  }

  it.runIf(LONG)("commits requests of many bytes in parts", async () => {
    const body = [Buffer.alloc(8 * 2 ** 20, 1)];
    const results = await Promise.all(Array.from({ length: 5 }, () => store.put({ ...request(), body })));
    expect(results).toEqual([true, true, true, true, true]);
    expect(store.stats()).toMatchObject({ commits: 2, operations: 5 });
    // One claim ends at 32 MiB.
    const claimed = [...(await store.claim(ECHO, 5, HOUR)), ...(await store.claim(ECHO, 5, HOUR))];
    const kept = claimed.map(({ uuid }) => store.answer(uuid, body, inAnHour()));
    expect(await Promise.all(kept)).toEqual([true, true, true, true, true]);
    expect(store.stats()).toMatchObject({ commits: 4, operations: 10 });
  });

  it.runIf(LONG)("gives 32 MiB at once, and the request that passes them", async () => {
    const sizes = [35, 12, 12, 12, 12].map((size) => size * 2 ** 20);
    for (const size of sizes) await store.put({ ...request(), body: [Buffer.alloc(size, 1)] });
    const claim = async (): Promise<number[]> =>
      (await store.claim(ECHO, 10, HOUR)).map(({ body }) => body[0]?.length ?? 0);
    expect(await claim()).toEqual(sizes.slice(0, 1));
    expect(await claim()).toEqual(sizes.slice(1, 4));
    expect(await claim()).toEqual(sizes.slice(4));
  });

  it("keeps a request, gives it to one who claims, keeps the reply, and forgets both", async () => {
    const asked = { ...request(), body: [Buffer.from("a"), Buffer.alloc(0), Buffer.from([0, 255])] };
    expect(await store.look(asked.uuid)).toEqual({ state: "unknown" });
    await store.put(asked);
    expect(await store.look(asked.uuid)).toEqual({ state: "pending" });
    const [claimed, ...others] = await store.claim(ECHO, 10, HOUR);
    expect(others).toEqual([]);
    expect(claimed).toEqual({ ...asked, attempts: 1 });
    const reply = [Buffer.from("b"), Buffer.alloc(0)];
    expect(await store.answer(asked.uuid, reply, inAnHour())).toBe(true);
    expect(await store.look(asked.uuid)).toEqual({ state: "answered", reply });
    await store.forget(asked.uuid);
    expect(await store.look(asked.uuid)).toEqual({ state: "unknown" });
    await store.forget(asked.uuid);
  });

  it("gives the oldest first, each once, and only those of the service, also where its name begins with another's", async () => {
    const [other, shorter] = [Buffer.from([0, 1, 255]), Buffer.from("ec")];
    await store.put(request("s", shorter));
    await Promise.all(["1", "2", "3", "4"].map((body) => store.put(request(body))));
    await store.put(request("x", other));
    // While the others can be claimed, too.
    expect(bodies(await store.claim(shorter, 10, HOUR))).toEqual(["s"]);
    expect(bodies(await store.claim(ECHO, 3, HOUR))).toEqual(["1", "2", "3"]);
    expect(bodies(await store.claim(ECHO, 3, HOUR))).toEqual(["4"]);
    expect(await store.claim(ECHO, 3, HOUR)).toEqual([]);
    expect(bodies(await store.claim(other, 3, HOUR))).toEqual(["x"]);
  });

  it("names the services with requests, and no other", async () => {
    const names = [Buffer.from([0]), ECHO, Buffer.alloc(255, 0xff), Buffer.from("a"), Buffer.from("aa")];
    const asked = names.map((name) => request("x", name));
    await Promise.all(
      [...asked, ...asked.map(({ service }) => request("y", service))].map((r) => store.put(r)),
    );
    const sorted = (all: Buffer[]): string[] => all.map((name) => name.toString("hex")).sort();
    const found = async (): Promise<string[]> => sorted(await store.services(100));
    expect(await found()).toEqual(sorted(names));
    const parts: Buffer[] = [];
    for (
      let part: Buffer[] | undefined;
      part === undefined || (part.length === 2 && parts.length < 9);
      parts.push(...part)
    )
      part = await store.services(2, parts.at(-1));
    expect(sorted(parts)).toEqual(sorted(names));
    await store.answer((asked[1] as TitanicNewRequest).uuid, [Buffer.from("r")], inAnHour());
    await store.forget((asked[0] as TitanicNewRequest).uuid);
    expect(await found()).toHaveLength(5);
    for (const { service } of asked.slice(0, 2))
      for (const { uuid } of await store.claim(service, 9, HOUR)) await store.forget(uuid);
    expect(await found()).toEqual(sorted(names.slice(2)));
  });

  it("gives a request that was put back again when its time has come", async () => {
    const [later, now] = [request("later"), request("now")];
    await store.put(later);
    await store.put(now);
    await store.claim(ECHO, 2, HOUR);
    await store.release(later.uuid, HOUR, false);
    await store.release(now.uuid, 0, false);
    expect(bodies(await store.claim(ECHO, 2, HOUR))).toEqual(["now"]);
  });

  it("counts the attempts that failed, also when it is opened again, and no other", async () => {
    const asked = request("a");
    await store.put(asked);
    const attempts = async (): Promise<number | undefined> => (await store.claim(ECHO, 1, HOUR))[0]?.attempts;
    expect(await attempts()).toBe(1);
    await store.release(asked.uuid, 0, false);
    expect(await attempts()).toBe(1);
    await store.release(asked.uuid, 0, true);
    expect(await attempts()).toBe(2);
    await store.release(asked.uuid, 0, true);
    await reopen();
    expect(await attempts()).toBe(3);
  });

  it("stores a repetition no second time, whatever became of the request", async () => {
    const [waiting, answered, dead, closed] = [request("w"), request("a"), request("d"), request("c")];
    const all = [waiting, answered, dead, closed];
    const other = { ...waiting, body: [Buffer.from("other")] };
    // In one batch, too: the first is kept.
    const stored = await Promise.all([...all, other].map((r) => store.put(r)));
    expect(stored).toEqual([...all.map(() => true), false]);
    await store.claim(ECHO, 10, HOUR);
    await store.answer(answered.uuid, [Buffer.from("r")], inAnHour());
    await store.markDead(dead.uuid, { attempts: 1, reason: "x", died: Date.now(), expires: inAnHour() });
    await store.forget(closed.uuid);
    await store.release(waiting.uuid, 0, false);
    expect(await Promise.all(all.map((r) => store.put(r)))).toEqual([false, false, false, true]);
    expect(bodies(await store.claim(ECHO, 10, HOUR))).toEqual(["w", "c"]);
    expect((await store.look(answered.uuid)).state).toBe("answered");
    expect((await store.look(dead.uuid)).state).toBe("dead");
  });

  describe("a dead letter", () => {
    const death = () => ({
      attempts: 3,
      reason: "the handler failed",
      died: Date.now(),
      expires: inAnHour(),
    });
    const [one, two, alive] = [request("1"), request("2"), request("3")];

    beforeEach(async () => {
      await Promise.all([one, two, alive].map((r) => store.put(r)));
      await store.claim(ECHO, 3, HOUR);
      await store.release(one.uuid, 0, true);
      await store.claim(ECHO, 3, HOUR);
      for (const { uuid } of [one, two]) expect(await store.markDead(uuid, death())).toBe(true);
      await store.release(alive.uuid, 0, false);
    });

    it("is not tried any more, and is listed after it is opened again", async () => {
      await reopen();
      expect(bodies(await store.claim(ECHO, 10, HOUR))).toEqual(["3"]);
      expect(await store.look(one.uuid)).toEqual({ state: "dead", reason: "the handler failed" });
      const letters = await store.deadLetters(10);
      expect(letters.map(({ uuid, body }) => [uuid, String(body)])).toEqual([
        [one.uuid, "1"],
        [two.uuid, "2"],
      ]);
      expect(letters[0]).toMatchObject({ service: ECHO, attempts: 3, reason: "the handler failed" });
      expect((await store.deadLetters(1)).map(({ uuid }) => uuid)).toEqual([one.uuid]);
      expect((await store.deadLetters(10, one.uuid)).map(({ uuid }) => uuid)).toEqual([two.uuid]);
      expect(await store.deadLetters(10, two.uuid)).toEqual([]);
      expect(await store.answer(one.uuid, [Buffer.from("late")], inAnHour())).toBe(false);
      expect(await store.services(10)).toEqual([ECHO]);
    });

    it("is a request again, with all its attempts, when it is removed and stored again", async () => {
      expect(await store.put(one)).toBe(false);
      await store.forget(one.uuid);
      expect(await store.put(one)).toBe(true);
      expect((await store.look(one.uuid)).state).toBe("pending");
      const claimed = await store.claim(ECHO, 10, HOUR);
      expect(claimed.map(({ body, attempts }) => [String(body), attempts])).toEqual([
        ["1", 1],
        ["3", 1],
      ]);
      expect(await store.answer(one.uuid, [Buffer.from("r")], inAnHour())).toBe(true);
      expect(await store.deadLetters(10)).toHaveLength(1);
    });

    it("has any UUID that its client makes", async () => {
      for (const uuid of [Buffer.alloc(16), Buffer.alloc(16, 0xff)]) {
        await store.put({ ...request("extreme"), uuid });
        await store.claim(ECHO, 10, HOUR);
        expect(await store.markDead(uuid, death())).toBe(true);
      }
      expect((await store.deadLetters(10)).map(({ body: [text] }) => String(text))).toEqual([
        "extreme",
        "1",
        "2",
        "extreme",
      ]);
      expect(await store.deadLetters(10, Buffer.alloc(16))).toHaveLength(3);
      expect(await store.deadLetters(10, Buffer.alloc(16, 0xff))).toEqual([]);
    });

    it("is removed, and expires", async () => {
      await store.forget(one.uuid);
      expect((await store.look(one.uuid)).state).toBe("unknown");
      await store.forget(two.uuid);
      await store.put(two);
      await store.claim(ECHO, 10, HOUR);
      expect(await store.markDead(two.uuid, { ...death(), expires: Date.now() - 1 })).toBe(true);
      expect((await store.look(two.uuid)).state).toBe("unknown");
      expect(await store.deadLetters(10)).toEqual([]);
      expect(await store.expire(10)).toBe(1);
      expect(await store.put(two)).toBe(true);
    });

    it("is made of no request that was closed or answered meanwhile", async () => {
      await store.claim(ECHO, 10, HOUR);
      await store.answer(alive.uuid, [Buffer.from("r")], inAnHour());
      expect(await store.markDead(alive.uuid, death())).toBe(false);
      expect((await store.look(alive.uuid)).state).toBe("answered");
    });
  });

  it("takes one answer, and none for what is closed or was never there", async () => {
    const [asked, closed, never] = [request(), request(), request()];
    await store.put(asked);
    await store.put(closed);
    await store.forget(closed.uuid);
    const answer = (uuid: Buffer, text: string): Promise<boolean> =>
      store.answer(uuid, [Buffer.from(text)], inAnHour());
    // In one batch: the first is taken.
    expect(await Promise.all([answer(asked.uuid, "1"), answer(asked.uuid, "2")])).toEqual([true, false]);
    expect(await answer(asked.uuid, "3")).toBe(false);
    expect(await answer(closed.uuid, "x")).toBe(false);
    expect(await answer(never.uuid, "x")).toBe(false);
    expect((await store.look(closed.uuid)).state).toBe("unknown");
  });

  it("has everything that was acknowledged after it is opened again, claims excepted", async () => {
    const [waiting, claimed, answered, closed] = [request("w"), request("c"), request("a"), request("x")];
    await Promise.all([waiting, claimed, answered, closed].map((r) => store.put(r)));
    await store.answer(answered.uuid, [Buffer.from("r")], inAnHour());
    await store.forget(closed.uuid);
    await reopen();
    expect((await store.look(waiting.uuid)).state).toBe("pending");
    expect(await store.look(answered.uuid)).toEqual({ state: "answered", reply: [Buffer.from("r")] });
    expect((await store.look(closed.uuid)).state).toBe("unknown");
    expect(bodies(await store.claim(ECHO, 10, HOUR))).toEqual(["w", "c"]);
  });

  it("expires requests and replies, and gives neither before that is done", async () => {
    const [gone, stays, replied] = [request("1", ECHO, -1), request("2"), request("3")];
    await Promise.all([gone, stays, replied].map((r) => store.put(r)));
    await store.answer(replied.uuid, [Buffer.from("r")], Date.now() - 1);
    expect((await store.look(gone.uuid)).state).toBe("unknown");
    expect((await store.look(replied.uuid)).state).toBe("unknown");
    expect(await store.answer(gone.uuid, [Buffer.from("r")], inAnHour())).toBe(false);
    expect(bodies(await store.claim(ECHO, 10, HOUR))).toEqual(["2"]);
    expect(await store.expire(1)).toBe(1);
    expect(await store.expire(10)).toBe(1);
    expect(await store.expire(10)).toBe(0);
    expect((await store.look(stays.uuid)).state).toBe("pending");
  });

  it("reports a damaged request, and goes on with the others; it can be closed", async () => {
    const [broken, sound] = [request("broken"), request("sound")];
    await store.put(broken);
    await store.put(sound);
    const told = await damage(broken.uuid, "request");
    expect(bodies(await store.claim(ECHO, 10, HOUR))).toEqual(["sound"]);
    const found = { uuid: formatUuid(broken.uuid), reason: "the checksum does not fit" };
    expect(told).toEqual([found]);
    expect(await store.claim(ECHO, 10, HOUR)).toEqual([]);
    expect(told).toEqual([found]);
    expect(await store.look(broken.uuid)).toEqual({ state: "damaged" });
    expect(told).toEqual([found, found]);
    expect(await store.put(broken)).toBe(false);
    await store.forget(broken.uuid);
    expect(await store.look(broken.uuid)).toEqual({ state: "unknown" });
    expect(await store.expire(10)).toBe(0);
    expect(await store.put(broken)).toBe(true);
    expect(bodies(await store.claim(ECHO, 10, HOUR))).toEqual(["broken"]);
    await store.forget(broken.uuid);
    await store.forget(sound.uuid);
    expect(await store.services(10)).toEqual([]);
  });

  it("keeps the reply to a request that was damaged meanwhile", async () => {
    const broken = request("broken");
    await store.put(broken);
    await damage(broken.uuid, "request");
    expect(await store.answer(broken.uuid, [Buffer.from("reply")], inAnHour())).toBe(true);
    const answered = { state: "answered", reply: [Buffer.from("reply")] };
    expect(await store.look(broken.uuid)).toEqual(answered);
    expect(await store.answer(broken.uuid, [Buffer.from("again")], inAnHour())).toBe(false);
    await reopen();
    expect(await store.look(broken.uuid)).toEqual(answered);
    expect(await store.claim(ECHO, 10, HOUR)).toEqual([]);
    await store.forget(broken.uuid);
    expect(await store.look(broken.uuid)).toEqual({ state: "unknown" });
  });

  it("expires a damaged request", async () => {
    const broken = request("broken", ECHO, 1_000);
    await store.put(broken);
    await damage(broken.uuid, "request");
    expect((await store.look(broken.uuid)).state).toBe("damaged");
    await expect.poll(() => store.expire(10), { timeout: 10_000 }).toBe(1);
    expect((await store.look(broken.uuid)).state).toBe("unknown");
    expect(await store.claim(ECHO, 10, HOUR)).toEqual([]);
    expect(await store.put(broken)).toBe(true);
  });

  it("reports a damaged reply", async () => {
    const asked = request();
    await store.put(asked);
    await store.answer(asked.uuid, [Buffer.from("reply")], inAnHour());
    const told = await damage(asked.uuid, "reply");
    expect(await store.look(asked.uuid)).toEqual({ state: "damaged" });
    expect(await store.look(asked.uuid)).toEqual({ state: "damaged" });
    expect(told).toHaveLength(2);
  });

  it("commits together what comes together", async () => {
    await Promise.all(Array.from({ length: 500 }, (_, i) => store.put(request(String(i)))));
    const { commits, operations } = store.stats();
    expect(operations).toBe(500);
    expect(commits).toBeLessThanOrEqual(3);
    expect(bodies(await store.claim(ECHO, 500, HOUR))).toEqual(
      Array.from({ length: 500 }, (_, i) => String(i)),
    );
  });

  it("when it is closed, has finished what came before, and refuses the rest", async () => {
    const asked = request();
    const put = store.put(asked);
    await store.close();
    await put;
    await expect(store.put(request())).rejects.toMatchObject({ code: "EBADF" });
    await expect(store.look(asked.uuid)).rejects.toMatchObject({ code: "EBADF" });
    await expect(store.claim(ECHO, 1, 1)).rejects.toMatchObject({ code: "EBADF" });
    await store.close();
    store = await test.open();
    expect((await store.look(asked.uuid)).state).toBe("pending");
  });
}
