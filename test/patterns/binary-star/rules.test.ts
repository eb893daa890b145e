/** The table of the rules, cell by cell, and the Guide's mistakes that they do not have. */
import { describe, expect, test } from "vitest";
import {
  type BinaryStarOrder,
  type BinaryStarReplica,
  type BinaryStarRole,
  BinaryStarRules,
  BinaryStarState,
} from "../../../src/patterns/binary-star/rules.js";

const { PRIMARY, BACKUP, ACTIVE, PASSIVE } = BinaryStarState;
const PATIENCE = 2_000;
const POSITION = Buffer.of(1);

function star(role: BinaryStarRole, start = 0, replica?: BinaryStarReplica) {
  const heard: string[] = [];
  const told: number[] = [];
  let from: BinaryStarState;
  const rules: BinaryStarRules = new BinaryStarRules(
    { role, heartbeatInterval: 1_000, liveness: 2, replica },
    {
      publish: (state) => told.push(state),
      changed: (reason) => {
        if (rules.fence !== undefined) heard.push(reason);
        else if (reason === "stalled") heard.push(rules.doubting ? "doubt" : "resumed");
        else heard.push(`${from}>${rules.state} ${reason}`);
        from = rules.state;
      },
      votesDropped: () => heard.push("void"),
      sameRole: (same) => heard.push(`same ${same}`),
    },
    start,
  );
  from = rules.state;
  return { rules, heard, told };
}

/** A server in a state, at the time 10: awake for a heartbeat before. */
function inState(
  state: BinaryStarState,
  replica?: BinaryStarReplica,
  role: BinaryStarRole = state === BACKUP || state === PASSIVE ? "backup" : "primary",
) {
  const made = star(role, -1_000, replica);
  made.rules.tick(-1_000);
  made.rules.tick(0);
  if (state === ACTIVE) made.rules.receive(BACKUP, 10, POSITION);
  if (state === PASSIVE) made.rules.receive(ACTIVE, 10, POSITION);
  expect(made.rules.state).toBe(state);
  made.heard.length = 0;
  return made;
}

describe("what a server hears", () => {
  test.each([
    [PRIMARY, PRIMARY, PRIMARY],
    [PRIMARY, BACKUP, ACTIVE],
    [PRIMARY, ACTIVE, PASSIVE],
    [PRIMARY, PASSIVE, PRIMARY],
    [BACKUP, PRIMARY, BACKUP],
    [BACKUP, BACKUP, BACKUP],
    [BACKUP, ACTIVE, PASSIVE],
    [BACKUP, PASSIVE, BACKUP],
    [ACTIVE, PRIMARY, ACTIVE],
    [ACTIVE, BACKUP, ACTIVE],
    [ACTIVE, PASSIVE, ACTIVE],
    [PASSIVE, PRIMARY, ACTIVE],
    [PASSIVE, BACKUP, ACTIVE],
    [PASSIVE, ACTIVE, PASSIVE],
  ])("in state %d it hears %d, and is %d", (state, peer, expected) => {
    const { rules } = inState(state);
    rules.receive(peer, 20);
    expect(rules.state).toBe(expected);
    expect(rules.fence).toBeUndefined();
  });

  test.each([
    [ACTIVE, "dual-active"],
    [PASSIVE, "dual-passive"],
  ] as const)("two in state %d are fenced: %s", (state, reason) => {
    const { rules, heard, told } = inState(state);
    rules.receive(state, 20);
    expect(rules.fence).toBe(reason);
    expect(heard).toEqual([reason]);
    expect(rules.serving).toBe(false);
    // Silence, votes and anything the peer says change nothing; the peer still gets the state, and is fenced, too.
    for (const [index, peer] of [PRIMARY, BACKUP, PASSIVE].entries()) rules.receive(peer, 30 + index);
    told.length = 0;
    for (let now = 1_000; now < 20_000; now += 500) {
      rules.tick(now);
      expect(rules.request(now)).toBe("refuse");
    }
    expect(new Set(told)).toEqual(new Set([state]));
    expect(heard).toEqual([reason]);
  });

  test("two of one role are reported, once", () => {
    const { rules, heard } = inState(BACKUP);
    rules.receive(BACKUP, 20);
    rules.receive(BACKUP, 1_020);
    expect(heard).toEqual(["same backup"]);
  });
});

describe("with a replica", () => {
  /** The order is what `orders` says. */
  function inStateWith(state: BinaryStarState, role?: BinaryStarRole) {
    const orders: { now: BinaryStarOrder } = { now: "same" };
    const replica = {
      position: () => POSITION,
      compare: () => orders.now,
      mayTakeOver: () => orders.now !== "older",
      resolved: () => undefined,
    };
    return { ...inState(state, replica, role), orders };
  }

  test("what the program fails to read is no state of the peer", () => {
    const { rules } = inState(PASSIVE, {
      position: () => POSITION,
      compare: (_peer, theirs) => (theirs.length > 1 ? JSON.parse("?") : "same"),
      mayTakeOver: () => true,
      resolved: () => undefined,
    });
    const { statesReceived } = rules.stats();
    expect(rules.receive(PRIMARY, 1_100, Buffer.alloc(2))).toBe(false);
    expect([rules.state, rules.stats().statesReceived]).toEqual([PASSIVE, statesReceived]);
  });

  test("a newer server that starts does not serve because its peer is passive: it may not be heard", () => {
    const { rules, orders, heard } = inStateWith(PRIMARY);
    orders.now = "newer";
    for (const now of [1_000, 2_000, 3_000]) rules.receive(PASSIVE, now, POSITION);
    expect([rules.state, heard]).toEqual([PRIMARY, []]);
    rules.receive(BACKUP, 3_100, POSITION); // Which says that it heard.
    expect(rules.serving).toBe(true);
  });

  test("a passive server that is behind a waiting peer waits, too, unless it has caught up by the next state", () => {
    const { rules, orders, told } = inStateWith(PASSIVE);
    orders.now = "older";
    rules.receive(PRIMARY, 100, POSITION);
    rules.receive(PRIMARY, 599, POSITION);
    expect(rules.state).toBe(PASSIVE);
    rules.receive(PRIMARY, 600, POSITION);
    rules.tick(600);
    expect([rules.state, told.at(-1)]).toEqual([BACKUP, BACKUP]);

    const other = inStateWith(PASSIVE);
    other.orders.now = "older";
    other.rules.receive(PRIMARY, 100, POSITION);
    other.rules.receive(ACTIVE, 400, POSITION);
    other.rules.receive(PRIMARY, 600, POSITION);
    expect(other.rules.state).toBe(PASSIVE); // It is behind since 600.
    other.orders.now = "same";
    other.rules.receive(PRIMARY, 1_100, POSITION);
    expect(other.rules.serving).toBe(true);
  });

  test.each([
    PASSIVE,
    ACTIVE,
  ])("a primary that gave way in state %i does not serve, though it catches up, before its peer has heard", (state) => {
    const { rules, orders } = inStateWith(state, "primary");
    orders.now = "older";
    for (const now of [100, 600]) rules.receive(BACKUP, now, POSITION);
    expect(rules.state).toBe(PRIMARY);
    rules.tick(600);
    orders.now = "same";
    rules.receive(BACKUP, 610, POSITION); // The peer serves when it hears.
    expect(rules.state).toBe(PRIMARY);
    rules.tick(1_600);
    rules.receive(BACKUP, 1_610, POSITION); // It has heard, and lets the primary serve.
    expect(rules.serving).toBe(true);
  });
});

describe("a client's request", () => {
  test("makes the passive server active once the peer was silent for its patience", () => {
    const { rules, heard, told } = inState(PASSIVE);
    rules.tick(1_000);
    expect(rules.request(1_500)).toBe("hold");
    rules.tick(2_000);
    expect(rules.nextWakeUp()).toBe(10 + PATIENCE);
    expect(rules.state).toBe(PASSIVE);
    rules.tick(10 + PATIENCE);
    expect(heard).toEqual(["4>3 fail-over"]);
    expect(told.at(-1)).toBe(ACTIVE); // The peer hears of it at once.
    expect(rules.request(10 + PATIENCE)).toBe("serve");
  });

  test("is a vote until the peer's next sign of life", () => {
    const { rules, heard } = inState(PASSIVE);
    rules.request(500);
    rules.receive(ACTIVE, 1_000);
    expect(heard).toEqual(["void"]);
    for (const now of [1_500, 2_500, 3_500]) rules.tick(now);
    expect(rules.state).toBe(PASSIVE);
    expect(rules.request(3_500)).toBe("hold");
    rules.tick(3_600);
    expect(rules.request(3_600)).toBe("serve");
  });

  test("takes effect after a moment of listening, and only on a server that was awake in it", () => {
    const { rules } = inState(PASSIVE);
    for (const now of [1_000, 2_000]) rules.tick(now);
    expect(rules.request(2_500)).toBe("hold");
    rules.tick(2_599);
    expect(rules.state).toBe(PASSIVE);
    rules.tick(2_900, 2_000); // Stopped meanwhile: what the peer said may be unread.
    expect(rules.state).toBe(PASSIVE);
    rules.receive(ACTIVE, 2_901);
    rules.tick(3_000);
    expect(rules.state).toBe(PASSIVE);
  });

  test("to a backup that never met its primary is refused, however long it waits", () => {
    const { rules } = inState(BACKUP);
    for (let now = 500; now < 30_000; now += 500) {
      rules.tick(now);
      expect(rules.request(now)).toBe("refuse");
    }
    rules.resolve("active", 30_000); // Only the operator can know that there is no primary.
    expect(rules.request(30_001)).toBe("serve");
  });
});

describe("mistakes of the Guide's programs", () => {
  test("who was held up goes on where it was when its peer did not take over", () => {
    const { rules, heard, told } = inState(ACTIVE);
    rules.tick(1_000);
    told.length = 0;
    rules.tick(2_600);
    expect([rules.doubting, told]).toEqual([true, []]); // It listens before it says anything.
    rules.tick(2_700);
    expect(told).toEqual([ACTIVE]);
    rules.receive(PASSIVE, 3_000);
    expect(rules.request(3_699)).toBe("hold");
    rules.tick(rules.nextWakeUp());
    expect([heard, rules.serving, rules.request(3_701)]).toEqual([["doubt", "resumed"], true, "serve"]);
  });

  test("who was held up, and whose connection to the peer ended meanwhile, says nothing before it hears the peer", () => {
    const { rules, heard, told } = inState(ACTIVE);
    rules.tick(1_000);
    told.length = 0;
    rules.tick(6_000);
    rules.connection(false);
    rules.receive(PASSIVE, 6_001); // What was unread is of the life before.
    rules.tick(6_100);
    rules.connection(true);
    rules.tick(6_200);
    expect([told, rules.nextWakeUp()]).toEqual([[], 6_300]);
    rules.receive(ACTIVE, 6_250);
    rules.tick(6_260);
    expect(told).toEqual([]); // What else was unread comes yet.
    rules.tick(6_300);
    expect([told, heard]).toEqual([[PASSIVE], ["doubt", "3>4 peer", "void"]]);
  });

  test("who was held up, and has never heard its peer, says nothing before the patience is over", () => {
    const { rules, told } = star("primary");
    rules.tick(0);
    rules.tick(1_000);
    rules.request(1_000);
    rules.tick(PATIENCE);
    expect(rules.serving).toBe(true);
    told.length = 0;
    rules.tick(9_000);
    for (let now = rules.nextWakeUp(); told.length === 0; now = rules.nextWakeUp()) {
      rules.tick(now);
      if (told.length > 0) expect(now).toBe(9_000 + PATIENCE);
    }
    expect(told).toEqual([ACTIVE]);
  });

  test("it goes on as soon as nobody is found there, and after the patience where nothing is found", () => {
    for (const [isAbsent, spoken] of [
      [true, 6_300],
      [false, 8_000],
    ] as const) {
      const { rules, heard, told } = inState(ACTIVE);
      rules.tick(1_000);
      rules.connection(false, true); // Known before the stop, and not any more.
      told.length = 0;
      rules.tick(6_000, 1_000);
      rules.connection(false, true); // Of the time of the stop.
      for (let now = 6_100; told.length === 0; now += 100) {
        if (now === 6_300) rules.connection(false, isAbsent);
        rules.tick(now);
        if (told.length > 0) expect(now).toBe(spoken);
      }
      rules.tick(spoken + 1_000);
      expect([heard, rules.serving]).toEqual([["doubt", "resumed"], true]);
    }
  });

  test("who is held up again while it is in doubt begins to listen again", () => {
    const { rules, heard } = inState(ACTIVE);
    rules.tick(1_000);
    rules.tick(2_600);
    rules.tick(2_700);
    rules.tick(9_000); // Past the end of the doubt: what the peer said by then is unread.
    expect([heard, rules.doubting, rules.nextWakeUp()]).toEqual([["doubt"], true, 9_100]);
    rules.receive(ACTIVE, 9_001);
    rules.tick(9_100);
    expect(rules.state).toBe(PASSIVE);
  });

  test("who was held up while its peer served for a while does not go on as if nothing had happened", () => {
    const { rules, heard } = inState(ACTIVE);
    rules.tick(1_000);
    for (const word of [ACTIVE, PASSIVE]) rules.receive(word, 9_000);
    rules.tick(9_100);
    expect([rules.state, rules.doubting, rules.fence]).toEqual([PRIMARY, false, undefined]);
    expect(heard).toEqual(["doubt", "3>1 peer", "void"]);
  });

  test("a take-over that crosses the word of a peer in doubt fences nobody", () => {
    const { rules } = inState(PASSIVE);
    rules.request(500);
    for (const now of [1_000, 2_000, 2_010]) rules.tick(now);
    expect(rules.serving).toBe(true);
    rules.receive(ACTIVE, 3_009); // It was sent before the peer heard of the take-over.
    expect([rules.serving, rules.fence]).toEqual([true, undefined]);
    rules.tick(3_010);
    rules.receive(ACTIVE, 3_011); // The peer has heard of it, and says so still.
    expect(rules.fence).toBe("dual-active");
  });

  test("a stop of the passive server is not the active one's silence", () => {
    const { rules } = inState(PASSIVE);
    rules.tick(1_000);
    expect(rules.request(61_000)).toBe("hold");
    rules.receive(ACTIVE, 61_001);
    expect(rules.state).toBe(PASSIVE);
  });
});

describe("a server whose event loop is late all the time", () => {
  /** ms of each turn of its event loop: less than half a heartbeat. */
  const TURN = 450;

  /** Ticks at the end of turns: what came in the last one is unread. @returns when it serves; `undefined`: not in time */
  function servesAt(rules: BinaryStarRules, from: number, until: number): number | undefined {
    let now = from;
    while (now < until && !rules.serving) {
      now += TURN;
      if (now >= rules.nextWakeUp()) rules.tick(now, now - TURN);
    }
    return rules.serving ? now : undefined;
  }

  test("serves again after a doubt in which its peer did not take over", () => {
    const { rules, heard } = inState(ACTIVE);
    expect(rules.request(3_000)).toBe("hold");
    rules.receive(PASSIVE, 3_001);
    expect(servesAt(rules, 3_001, 10_000)).toBeLessThan(3_001 + 7 * TURN);
    expect(heard).toEqual(["doubt", "resumed"]);
  });

  test("hears in a doubt what came within the heartbeat, however late it is read", () => {
    const { rules, heard } = inState(ACTIVE);
    rules.tick(3_000);
    rules.receive(PASSIVE, 3_001);
    rules.tick(3_100); // It asks.
    rules.tick(4_300, 4_000);
    expect(rules.doubting).toBe(true);
    rules.receive(ACTIVE, 4_301);
    expect([rules.state, heard]).toEqual([PASSIVE, ["doubt", "3>4 peer", "void"]]);
  });

  test("does not take over when what it has read is half a heartbeat old", () => {
    const { rules } = inState(PASSIVE);
    rules.tick(1_000);
    expect(rules.request(1_500)).toBe("hold");
    rules.tick(2_300, 1_000);
    rules.tick(2_850, 2_300);
    expect(rules.state).toBe(PASSIVE);
    rules.tick(2_950, 2_850);
    expect(rules.state).toBe(ACTIVE);
  });
});

describe("the operator", () => {
  test("cannot hand over to nobody", () => {
    const { rules } = inState(ACTIVE);
    expect(() => rules.handOver(20)).toThrow(expect.objectContaining({ code: "EFSM" })); // The peer said 2, not 4.
    expect(() => inState(PASSIVE).rules.handOver(20)).toThrow("it does not serve");
    expect(rules.serving).toBe(true);
  });

  test("has nothing to resolve where nothing is fenced", () => {
    for (const state of [ACTIVE, PASSIVE]) {
      expect(() => inState(state).rules.resolve("passive", 20)).toThrow("neither fenced nor waiting");
    }
  });

  test("cannot make both passive", () => {
    const { rules } = inState(PASSIVE);
    rules.receive(PASSIVE, 20);
    expect(() => rules.resolve("passive", 30)).toThrow("its peer is passive, too");
    rules.resolve("active", 40);
    expect(rules.serving).toBe(true);
  });
});
