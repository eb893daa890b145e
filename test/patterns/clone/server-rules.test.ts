/** A server's rules, one at a time, without a network. */
import { expect, test } from "vitest";
import { BinaryStarState } from "../../../src/patterns/binary-star/rules.js";
import { type Operation, operationOf } from "../../../src/patterns/clone/operation.js";
import {
  EMPTY,
  encodeHugz,
  encodeRequest,
  encodeSet,
  isHugz,
  PROPERTIES,
  readSequence,
  SEQUENCE,
  uuidsOf,
  VALUE,
} from "../../../src/patterns/clone/protocol.js";
import { encodeEnd, encodeUpdate } from "../../../src/patterns/clone/replication.js";
import type { ServerRulesOptions } from "../../../src/patterns/clone/server-options.js";
import { ServerRules } from "../../../src/patterns/clone/server-rules.js";
import type { LoadedMap, ServerEffects } from "../../../src/patterns/clone/server-state.js";
import { encodeEntry } from "../../../src/patterns/clone/snapshots.js";
import { encodePosition, NO_STANDING } from "../../../src/patterns/clone/standing.js";
import type { DeliveryResult } from "../../../src/sockets/index.js";
import { turn, watch } from "../../support/settled.js";

const CLIENT = Buffer.from("client");

const OPTIONS: ServerRulesOptions = {
  heartbeatInterval: 1_000,
  liveness: 2,
  hasStore: false,
  maxPending: 10,
  maxBytes: 100_000,
  maxSnapshots: 3,
  token: Buffer.alloc(8, 1),
  random: () => 0.5,
};
/** Of a server that nobody hears. */
const EFFECTS: ServerEffects = {
  publish: () => undefined,
  reply: () => "gone",
  replicate: () => "gone",
  follow: () => undefined,
  commit: () => undefined,
  replace: () => undefined,
  mark: () => undefined,
  announce: () => undefined,
  event: () => undefined,
};

/** A server that serves from 0. */
function serving(
  effects: Partial<ServerEffects> = {},
  options: Partial<ServerRulesOptions> = {},
): ServerRules {
  const rules = new ServerRules({ ...OPTIONS, ...options }, { ...EFFECTS, ...effects });
  rules.activate(0);
  return rules;
}

function rig(maxBytes = 100_000) {
  const made = {
    /** `key=value` of each KVPUB, with its sequence. */
    published: [] as string[],
    replies: [] as string[],
    lost: [] as string[],
    /** Replies that have room still. */
    room: Number.POSITIVE_INFINITY,
  };
  const text = (frames: Buffer[]): string => `${frames[0]}=${frames[4]}@${frames[1]?.readUInt32BE(4)}`;
  const rules = serving(
    {
      publish: (frames) => {
        if (String(frames[0]) !== "HUGZ") made.published.push(text(frames));
      },
      reply: (_, frames): DeliveryResult => {
        if (made.room <= 0) return "full";
        made.room -= 1;
        made.replies.push(text(frames));
        return "sent";
      },
      event: (event) => {
        if (event.type === "snapshot:lost") made.lost.push(event.reason);
      },
    },
    { maxBytes },
  );
  return Object.assign(made, { rules });
}

/** A client's KVSET. @param number of its UUID */
function kvset(key: string, value: string | Buffer, number: number, properties = ""): Buffer[] {
  return encodeSet(Buffer.from(key), Buffer.alloc(16, number), Buffer.from(properties), Buffer.from(value));
}

function set(rules: ServerRules, key: string, value: string, number: number, now = 0): void {
  rules.update(kvset(key, value, number), now);
  rules.flush(now);
}

test("a client that takes its snapshot slowly gets the map as it was, not as it is by then", () => {
  const made = rig();
  const { rules, replies } = made;
  // More than are copied at once.
  for (let n = 1; n <= 2_500; n++)
    rules.set(Buffer.from(`k${n}`), Buffer.from("old"), 0, 0) && rules.flush(0);
  made.room = 2;
  rules.request(CLIENT, EMPTY, 0);
  set(rules, "k2400", "new", 7);
  set(rules, "k2500", "", 8);
  set(rules, "k2501", "new", 9);
  made.room = 5_000;
  for (let now = 100; now < 1_000; now += 100) rules.tick(now);
  const expected = Array.from({ length: 2_500 }, (_, n) => `k${n + 1}=old@${n + 1}`);
  expect(new Set(replies.slice(0, -1))).toEqual(new Set(expected));
  expect([replies.length, replies.at(-1)]).toEqual([2_501, "KTHXBAI=@2500"]);
});

test.each([
  [100, false],
  [40_000, true],
])("a client that reads an entry of %i bytes every 29 s keeps the place of its snapshot: %s", (bytes, isKept) => {
  const made = rig(100_000_000);
  const { rules } = made;
  for (let n = 1; n <= 50; n++)
    rules.set(Buffer.from(`k${n}`), Buffer.alloc(bytes, "x"), 0, 0) && rules.flush(0);
  made.room = 0;
  rules.request(CLIENT, EMPTY, 0);
  for (let now = 29_000; now <= 290_000; now += 29_000) {
    made.room = 2;
    for (let later = 0; later < 2; later++) rules.tick(now + 100 * later);
  }
  expect([made.lost, rules.stats().snapshots.active]).toEqual(isKept ? [[], 1] : [["gone"], 0]);
});

test("a server that is full, or has too much in flight, refuses and counts, but not what it has done, when that comes again", () => {
  const { rules, published } = rig(1_000);
  for (let many = 0; many < 2; many++) set(rules, "k", "x".repeat(900), 1);
  expect(published.map((each) => each.slice(-2))).toEqual(["@1", "@2"]);
  expect(rules.stats()).toMatchObject({ applied: 1, repeated: 1, refused: { full: 0 } });
  set(rules, "l", "x".repeat(200), 2);
  expect(published.at(-1)).toBe("l=@0"); // Its client learns that.
  for (let n = 10; n < 30; n++) rules.update(kvset("m", "v", n), 0);
  rules.flush(0);
  expect(rules.stats().refused).toMatchObject({ full: 1, overloaded: 10 });
  expect(rules.stats()).toMatchObject({ entries: 2, applied: 11, sequence: 12 });
});

test("updates that wait for the store count to the bytes of the map", () => {
  const refused: string[] = [];
  const publish = ([key]: Buffer[]): void => void refused.push(String(key));
  const rules = serving({ publish }, { hasStore: true, maxBytes: 1_000 });
  for (let n = 0; n < 4; n++) set(rules, `k${n}`, "x".repeat(300), n);
  expect([refused, rules.stats().inFlight, rules.stats().refused.full]).toEqual([["k3"], 3, 1]);
  rules.committed(0); // The first one; the next two share a commit.
  set(rules, "k4", "x".repeat(50), 4);
  expect([rules.stats().inFlight, rules.stats().refused.full]).toEqual([3, 1]);
});

test("the sequence of an update that comes again is stored before anyone hears of it: a server that starts again goes on after it", () => {
  const stored: number[] = [];
  const published: string[] = [];
  const rules = serving(
    {
      commit: (batch) => void stored.push(batch.at(-1)?.sequence ?? 0),
      publish: ([key]) => void published.push(String(key)),
    },
    { hasStore: true },
  );
  for (const many of [1, 2]) {
    set(rules, "k", "v", 1);
    expect(published.filter((key) => key === "k")).toHaveLength(many - 1);
    rules.committed(0);
    expect(published.filter((key) => key === "k")).toHaveLength(many);
  }
  expect(stored).toEqual([1, 2]);
});

test("what waits is bounded in bytes, too, and a server that stands by keeps nothing", () => {
  const value = Buffer.alloc(60_000_000, "x");
  const { rules } = rig(1_000_000_000);
  const update = (n: number): void =>
    rules.update(encodeSet(Buffer.from(`k${n}`), Buffer.alloc(16, n), EMPTY, value), 0);
  for (let n = 1; n <= 8; n++) update(n);
  expect(rules.stats().refused.overloaded).toBe(3); // Five are more than 256 MiB.
  rules.deactivate(true, 0); // Their clients repeat them where it serves.
  update(9);
  expect([rules.stats().inFlight, rules.stats().refused.overloaded]).toEqual([0, 3]);
});

test("snapshots of all clients together save so much of what changes under them, and no more", () => {
  const made = rig(2_000_000_000);
  const { rules, lost } = made;
  const value = Buffer.alloc(800_000, "old");
  // More than are looked at in one go, so that some are still to come when they change.
  for (let n = 1; n <= 150; n++) rules.set(Buffer.from(`k${n}`), value, 0, 0) && rules.flush(0);
  made.room = 0;
  for (const name of ["a", "b", "c"]) rules.request(Buffer.from(name), EMPTY, 0);
  for (let n = 1; n <= 150; n++) set(rules, `k${n}`, "new", n);
  rules.tick(100);
  expect(lost).toEqual(["overrun"]); // Two have 119 MB each saved.
  expect(rules.stats().snapshots).toMatchObject({ active: 2 });
});

test("a server that was held up acknowledges nothing until it knows that it serves", () => {
  const { rules, published } = rig();
  set(rules, "k", "1", 1);
  rules.suspend();
  set(rules, "k", "2", 2);
  rules.tick(5_000);
  expect(published).toEqual(["k=1@1"]);
  rules.resume(5_000);
  expect(published).toEqual(["k=1@1", "k=2@2"]);
  rules.suspend();
  set(rules, "k", "3", 3);
  rules.deactivate(true, 6_000);
  expect([published.length, String(rules.map.table.value(0))]).toEqual([2, "3"]); // The other server has the word.
});

test("a server in doubt that its follower leaves has acknowledged nothing alone", () => {
  const [peer, session, next] = [Buffer.from("peer"), Buffer.alloc(8, 1), Buffer.alloc(8, 2)];
  const rules = serving({ replicate: () => "sent" }, { role: "primary" });
  rules.marked(0);
  set(rules, "k", "1", 1);
  rules.replica(peer, [session, ...encodeRequest(EMPTY)], 0);
  rules.replica(peer, [session, ...encodeHugz(1)], 0);
  rules.marked(0);
  expect(rules.standing.wanted.alone).toBe(false);
  rules.suspend();
  set(rules, "k", "2", 2);
  rules.replica(peer, [next, ...encodeRequest(EMPTY)], 0);
  expect(rules.standing.wanted).toMatchObject({ alone: false });
  rules.resume(0);
  expect(rules.standing.wanted.alone).toBe(true);
});

test("beside a follower that is in step, an update is acknowledged when that has it, and the store has the term", () => {
  const [peer, session] = [Buffer.from("peer"), Buffer.alloc(8, 1)];
  const published: string[] = [];
  const publish = ([key]: Buffer[]): void => void published.push(String(key));
  const rules = serving({ replicate: () => "sent", publish }, { hasStore: true, role: "primary" });
  const has = (sequence: number): string => {
    rules.replica(peer, [session, ...encodeHugz(sequence)], 0);
    return published.join();
  };
  rules.replica(peer, [session, ...encodeRequest(EMPTY)], 0);
  for (const [n, key] of ["k", "l"].entries()) {
    set(rules, key, "v", n);
    rules.committed(0);
  }
  expect(has(1)).toBe("");
  for (let marks = 0; marks < 2; marks++) rules.marked(0); // The term, and that it does not serve alone.
  expect(has(1)).toBe("k");
  expect(has(2)).toBe("k,l");
});

test("a server with a store is idle once its standing is stored, and with it what waited to be acknowledged", async () => {
  const rules = serving({}, { hasStore: true, role: "primary" });
  set(rules, "k", "1", 1);
  rules.committed(0);
  const idle = rules.idle();
  expect(rules.stats().inFlight).toBe(1);
  rules.marked(0);
  await idle;
  expect(rules.stats().inFlight).toBe(0);
});

test("a server is not idle while one update is on its way to the store and another waits for the word to acknowledge it", async () => {
  let commits = 0;
  const rules = serving({ commit: () => (commits += 1) }, { hasStore: true });
  rules.marked(0);
  rules.suspend();
  set(rules, "k", "1", 1);
  rules.committed(0);
  set(rules, "k", "2", 2);
  const idle = rules.idle();
  const outcome = watch(idle);
  await turn();
  expect([commits, rules.stats().inFlight, outcome.state]).toEqual([2, 2, "pending"]);
  rules.committed(0);
  rules.resume(0);
  rules.tick(0);
  await idle;
  expect(rules.stats().inFlight).toBe(0);
});

test("a key that is set again in the moment when it ends stays", () => {
  const { rules, published } = rig();
  rules.update(kvset("k", "1", 1, "ttl=1\n"), 0);
  rules.flush(0);
  rules.update(kvset("k", "2", 2, "ttl=0\n"), 1_000);
  rules.tick(1_000);
  rules.tick(5_000);
  expect(published).toEqual(["k=1@1", "k=2@2"]);
});

/** A server that stands by. @param answer of the other server, when it is asked for the map */
function standingBy(
  options: Partial<ServerRulesOptions>,
  effects: Partial<ServerEffects> = {},
  answer: (session: Buffer, now: number) => void = () => undefined,
) {
  const asked: number[] = [];
  /** The time, the session of the link, and the map that the store was given. */
  const its = { now: 0, session: EMPTY, given: undefined as unknown as LoadedMap };
  const follow = ([session, ...frames]: Buffer[]): void => {
    if (frames.length !== 2) return;
    its.session = session as Buffer;
    asked.push(its.now);
    answer(its.session, its.now);
  };
  const replace = (loaded: LoadedMap): void => {
    its.given = loaded;
  };
  const all = { ...EFFECTS, follow, replace, ...effects };
  const rules = new ServerRules({ ...OPTIONS, ...options }, all);
  rules.deactivate(true, 0);
  return { rules, asked, its };
}

/** One with a store, and the other server and the store as the test has them. */
function standby() {
  const { rules, asked, its } = standingBy({ hasStore: true });
  const tick = (time: number): void => {
    its.now = time;
    rules.tick(time);
  };
  /** The other server gives a map, which the store takes, and an update, which it does not take. */
  const fail = (until: number): void => {
    // What has not been asked for does not come.
    const count = asked.length;
    rules.follow([its.session, ...encodeEnd(4, NO_STANDING, EMPTY)], its.now);
    rules.replaced(its.given, its.now);
    expect(rules.stats()).toMatchObject({ replicated: true, sequence: 4 });
    for (let time = its.now; time < until; time += 500) {
      tick(time);
      rules.follow([its.session, ...encodeHugz(4)], time);
    }
    its.now = until;
    const operation = operationOf(kvset("k", "k", 1), until) as Operation;
    operation.sequence = 5;
    rules.follow([its.session, ...encodeUpdate(operation)], until);
    rules.flush(until);
    // A store of the program's may throw anything.
    rules.commitFailed(Object.create(null), until);
    // The other server has not noticed yet.
    rules.follow([its.session, ...encodeHugz(4)], until);
    expect(rules.stats().replicated).toBe(false);
    while (asked.length === count) tick(rules.nextWakeUp() as number);
  };
  return { rules, asked, fail };
}

test("a server that stands by asks less and less often for the map while its store refuses what comes after it, until that held a minute", () => {
  const { asked, fail } = standby();
  for (let n = 0; n < 9; n++) fail(asked.at(-1) as number);
  const pauses = asked.slice(1).map((at, n) => at - (asked[n] as number));
  // Three quarters each, by chance.
  expect(pauses).toEqual([1_500, 3_000, 6_000, 12_000, 24_000, 45_000, 45_000, 45_000, 45_000]);
  const failed = (asked.at(-1) as number) + 60_000;
  fail(failed);
  expect((asked.at(-1) as number) - failed).toBe(750);
});

/** One of a pair, until a time. */
function asking(answer?: (session: Buffer, now: number) => void) {
  const { rules, asked, its } = standingBy({ role: "backup" }, {}, answer);
  const until = (end: number): void => {
    for (let next = rules.nextWakeUp() ?? end; next < end; next = rules.nextWakeUp() ?? end) {
      its.now = next;
      rules.tick(next);
    }
    its.now = end;
  };
  return { rules, asked, until };
}

test.each([
  ["each answer takes", false],
  ["an entry takes", true],
])("a server that stands by gets the map although %s longer than several heartbeats", (_, entry) => {
  const answers: { readonly at: number; readonly session: Buffer }[] = [];
  let begin = (_session: Buffer, _now: number): void => undefined;
  const { rules, asked, until } = asking((session, now) => {
    answers.push({ at: now + 5_000, session });
    if (entry) begin(session, now);
  });
  const first = encodeEntry({ key: Buffer.from("k"), sequence: 1, value: Buffer.from("v") }, EMPTY);
  begin = (session, now) => rules.follow([session, ...first], now);
  for (let now = 0; now < 60_000 && !rules.stats().replicated; now += 100) {
    until(now);
    for (const { session } of answers.filter(({ at }) => at <= now && at > now - 100))
      rules.follow([session, ...encodeEnd(4, NO_STANDING, EMPTY)], now);
  }
  expect(rules.stats()).toMatchObject({ replicated: true, sequence: 4, entries: entry ? 1 : 0 });
  if (!entry) expect(asked).toEqual([0, 1_500, 4_500]);
});

test("a server that stands by asks ever less often without an answer, and at once when the other one begins a term", () => {
  const { rules, asked, until } = asking();
  until(200_000);
  // Three quarters each, by chance.
  const pauses = asked.slice(1).map((at, n) => at - (asked[n] as number));
  expect(pauses).toEqual([1_500, 3_000, 6_000, 12_000, 24_000, 45_000, 45_000, 45_000]);
  const hear = (term: number, now: number): void => {
    const position = { map: "", term, sequence: 0, alone: true, ready: false };
    rules.standing.compare(BinaryStarState.ACTIVE, encodePosition(position), BinaryStarState.PASSIVE);
    rules.heard(now);
  };
  hear(3, 200_000);
  hear(3, 200_100);
  until(201_600);
  expect(asked.slice(9)).toEqual([200_000, 201_500]);
});

test("an update that a follower's store refused is made when its client repeats it after a failover", () => {
  const { rules, fail } = standby();
  fail(0);
  rules.activate(10_000);
  set(rules, "k", "v", 1, 10_000);
  expect(rules.stats()).toMatchObject({ repeated: 0, inFlight: 1 });
});

test("an update that comes while the store has only the map before it is not among the map's recent ones", () => {
  const { rules, its } = standingBy({ hasStore: true });
  const update = { ...(operationOf(kvset("k", "v", 1), 0) as Operation), sequence: 5 };
  const { session } = its;
  rules.follow([session, ...encodeEnd(4, NO_STANDING, EMPTY)], 0);
  rules.follow([session, ...encodeUpdate(update)], 0);
  expect(uuidsOf(its.given.map.seen())).toEqual([]);
  // Updates are missing, so the map is asked for again, and the present one is adopted without the update.
  rules.follow([session, ...encodeHugz(9)], 0);
  rules.replaced(its.given, 0);
  expect(rules.stats()).toMatchObject({ sequence: 4, entries: 0 });
  rules.activate(10_000);
  set(rules, "k", "v", 1, 10_000);
  expect(rules.stats()).toMatchObject({ repeated: 0, inFlight: 1 });
});

test("a map for a follower does not count updates in flight as recent ones", () => {
  const sent: Buffer[][] = [];
  const replicate = (_: Buffer, frames: Buffer[]): DeliveryResult => {
    sent.push(frames);
    return "sent";
  };
  const rules = serving({ replicate }, { hasStore: true, role: "primary" });
  rules.marked(0);
  set(rules, "k", "1", 1);
  rules.committed(0);
  set(rules, "k", "2", 2); // In the commit.
  set(rules, "k", "3", 3); // Behind it.
  rules.replica(Buffer.from("peer"), [Buffer.alloc(8), ...encodeRequest(EMPTY)], 0);
  const seen = uuidsOf(sent.at(-1)?.[1 + VALUE] as Buffer).map(([first]) => first);
  expect(seen.filter((byte) => byte !== 0xff)).toEqual([1]);
});

test("a follower may be silent until it is in step: it stores the map, or has little processor time", () => {
  const session = Buffer.alloc(8);
  const events: string[] = [];
  const event: ServerEffects["event"] = ({ type }) => void events.push(type);
  const rules = serving({ replicate: () => "sent", event }, { role: "primary" });
  const until = (end: number): void => {
    for (let now = end - 10_000; now <= end; now += 100) rules.tick(now);
  };
  set(rules, "k", "v", 1);
  rules.replica(Buffer.from("peer"), [session, ...encodeRequest(EMPTY)], 0);
  until(10_000);
  expect(events).toEqual([]);
  rules.replica(Buffer.from("peer"), [session, ...encodeHugz(1)], 10_000);
  set(rules, "l", "v", 2, 10_000);
  expect(rules.stats().inFlight).toBe(1); // It has to have this one, too.
  until(20_000);
  expect([events, rules.stats().inFlight]).toEqual([["replica:left"], 0]);
});

test("a server that serves loses nothing when the store could not take the map of its time as a follower", () => {
  const events: string[] = [];
  const { rules, its } = standingBy(
    { hasStore: true },
    { commit: () => events.push("commit"), publish: ([key]) => events.push(String(key)) },
  );
  rules.follow([its.session, ...encodeEnd(4, NO_STANDING, EMPTY)], 0);
  rules.activate(1);
  set(rules, "k", "v", 1, 1);
  rules.replaceFailed(its.given, new Error("disk"), 2);
  expect(events).toEqual(["commit"]);
  rules.committed(3);
  expect(events).toEqual(["commit", "k"]);
  expect(rules.stats()).toMatchObject({ entries: 1, sequence: 1, refused: { store: 0 } });
});

test("the last sequence of a subtree is not later than the map that a server took over", () => {
  const heartbeats: Buffer[][] = [];
  let session: Buffer = Buffer.alloc(0);
  const rules = serving({
    publish: (frames) => {
      if (isHugz(frames)) heartbeats.push(frames);
    },
    follow: (frames) => {
      session = frames[0] as Buffer;
    },
  });
  rules.request(CLIENT, Buffer.from("/x/"), 0);
  for (let n = 1; n <= 9; n++) set(rules, "/x/k", String(n), n);
  rules.tick(1_000);
  // The other server serves, and its map is shorter.
  rules.deactivate(true, 1_000);
  rules.follow([session, ...encodeEnd(4, NO_STANDING, EMPTY)], 1_000);
  rules.activate(2_000);
  rules.tick(2_000);
  const last = heartbeats.at(-1) as Buffer[];
  expect(String(heartbeats[0]?.[PROPERTIES])).toBe("s1=9\n");
  expect([readSequence(last[SEQUENCE] as Buffer), String(last[PROPERTIES])]).toEqual([4, "s1=4\n"]);
});

test("an update of some KiB that waits for the store does not hold the chunk that it came in", () => {
  const stored: Operation[] = [];
  const commit = (batch: readonly Operation[]): void => void stored.push(...batch);
  const rules = serving({ commit }, { hasStore: true });
  const chunk = Buffer.alloc(65_536, 1);
  for (const key of ["first", "second"]) {
    rules.update(encodeSet(Buffer.from(key), EMPTY, EMPTY, chunk.subarray(0, 5_000)), 0);
    rules.flush(0);
  }
  rules.committed(0);
  expect(stored.map(({ key }) => String(key))).toEqual(["first", "second"]);
  expect(stored[1]?.value.buffer).not.toBe(chunk.buffer);
});

test("10,000 clients wait for a snapshot, and a further one is refused", () => {
  const lost: string[] = [];
  const event: ServerEffects["event"] = (event) =>
    void (event.type === "snapshot:lost" && lost.push(event.reason));
  const rules = serving({ reply: () => "full", event });
  for (let n = 0; n <= OPTIONS.maxSnapshots + 10_000; n++)
    rules.request(Buffer.from(String(n)), Buffer.alloc(0), 0);
  expect(lost).toEqual(["too-many"]);
});

test("requests wait while it is not known who serves: they are answered if this server does, and dropped with the votes", () => {
  const told: string[] = [];
  const rules = new ServerRules(OPTIONS, {
    ...EFFECTS,
    reply: (_, [key]): DeliveryResult => {
      told.push(String(key));
      return "sent";
    },
    event: (event) => void (event.type === "snapshot:lost" && told.push(event.reason)),
  });
  rules.request(CLIENT, EMPTY, 0);
  rules.tick(1_000);
  expect([told, rules.stats().snapshots.waiting]).toEqual([[], 1]);
  rules.dropRequests();
  expect([told, rules.stats().snapshots]).toMatchObject([[], { waiting: 0, lost: 0 }]);
  rules.request(CLIENT, EMPTY, 2_000);
  rules.activate(2_000);
  rules.dropRequests();
  expect(rules.busy).toBe(true);
  rules.pump(2_000);
  expect(told).toEqual(["KTHXBAI"]);
});
