/** Which server a client of model 3 asks, step by step; under generated faults: stalls.test.ts. */
import { describe, expect, test } from "vitest";
import {
  FreelanceCall,
  FreelanceRules,
  type FreelanceServerStatus,
  Server,
} from "../../../src/patterns/freelance/client-rules.js";
import type { ClientCommand } from "../../../src/patterns/freelance/protocol.js";

const OPTIONS = {
  pingInterval: 2_000,
  timeToLive: 6_000,
  attemptTimeout: 1_000,
};

/** Servers have names, and calls the numbers of their requests. */
class Named {
  readonly rules: FreelanceRules<number>;
  readonly #servers = new Map<string, Server>();
  readonly #calls = new Map<number, FreelanceCall<number>>();

  constructor(rules: FreelanceRules<number>) {
    this.rules = rules;
  }

  #server(name: string): Server {
    const server = this.#servers.get(name) ?? new Server(name, undefined as never);
    this.#servers.set(name, server);
    return server;
  }

  joined(name: string, now: number): void {
    this.rules.joined(this.#server(name), now);
  }

  left(name: string, now: number): void {
    this.rules.left(this.#server(name), now);
  }

  receive(name: string, command: ClientCommand, now: number): void {
    this.rules.receive(this.#server(name), command, now);
  }

  /** Its queues have room again. */
  writable(now: number): void {
    for (const server of this.#servers.values()) server.isFull = false;
    this.rules.proceed(now);
  }

  ask(body: readonly string[], now: number): number {
    const number = this.#calls.size + 1;
    const call = new FreelanceCall(body, number);
    this.#calls.set(number, call);
    this.rules.request(call, now);
    return number;
  }

  cancel(number: number): void {
    const call = this.#calls.get(number);
    if (call !== undefined) this.rules.cancel(call, false);
  }

  servers(): FreelanceServerStatus[] {
    return [...this.#servers.values()].map((server) => this.rules.status(server));
  }

  tick(now: number): void {
    this.rules.tick(now);
  }

  nextWakeUp(): number | undefined {
    return this.rules.nextWakeUp();
  }

  stats() {
    return this.rules.stats();
  }
}

function client(...endpoints: string[]) {
  const sent: string[] = [];
  const reported: string[] = [];
  const full = new Set<string>();
  /** What the client's program does as it hears of something. */
  const listeners = {
    sent: (): void => undefined,
    "server:joined": (): void => undefined,
    "server:left": (): void => undefined,
    "request:retried": (): void => undefined,
  };
  const rules = new Named(
    new FreelanceRules<number>(OPTIONS, {
      send(server, frames) {
        server.isFull = full.has(server.endpoint);
        if (server.isFull) return false;
        sent.push([server.endpoint, ...frames].join(" "));
        listeners.sent();
        return true;
      },
      replied: ({ pending }, body) => reported.push(`${pending} ${body.join(" ")}`),
      failed: ({ pending }, server, text) => reported.push(`${pending} ${server} ${text}`),
      event(event) {
        const { type, ...told } = event;
        reported.push([type.split(":")[1], ...Object.values(told)].join(" "));
        listeners[type]();
      },
    }),
  );
  for (const endpoint of endpoints) rules.joined(endpoint, 0);
  return { rules, sent, reported, full, listeners };
}

const reply = (sequence: number, ...body: string[]) =>
  ({ type: "reply", sequence, body: body.map((frame) => Buffer.from(frame)) }) as const;

/** Two live servers: a answers a PING in 30 ms, b in 10. */
function twoLive() {
  const made = client("a", "b");
  made.rules.receive("b", { type: "pong" }, 10);
  made.rules.receive("a", { type: "pong" }, 30);
  made.sent.length = 0;
  made.reported.length = 0;
  return made;
}

describe("a client of model 3", () => {
  test("pings its servers and asks the fastest", () => {
    const { rules, sent, reported } = client("a", "b");
    expect(sent).toEqual(["a PING", "b PING"]);
    expect(rules.ask(["hi"], 5)).toBe(1);
    expect(sent).toHaveLength(2); // Nobody is known to live yet.
    rules.receive("b", { type: "pong" }, 10);
    rules.receive("a", { type: "pong" }, 30);
    expect(sent.slice(2)).toEqual(["b 1 hi"]);
    rules.ask(["again"], 40);
    expect(sent.at(-1)).toBe("b 2 again");
    rules.receive("b", reply(1, "ok"), 50);
    expect(reported).toContain("1 ok");
    expect(rules.servers().map(({ roundTrip }) => roundTrip)).toEqual([30, 10]);
  });

  test("measures a round trip with each PONG, and the newest counts for three tenths", () => {
    const { rules } = twoLive();
    rules.tick(2_000);
    rules.receive("b", { type: "pong" }, 2_050);
    rules.receive("a", { type: "pong" }, 2_010);
    expect(rules.servers().map(({ roundTrip }) => roundTrip)).toEqual([24, 22]);
  });

  test("passes over a server whose PONG does not come, before it is dead", () => {
    const { rules, sent } = twoLive();
    rules.tick(2_000);
    rules.receive("a", { type: "pong" }, 2_030);
    rules.ask(["x"], 2_100); // b was pinged at 2,000 and says nothing.
    expect(sent.at(-1)).toBe("a 1 x");
  });

  test("asks another when no reply comes, and takes the late reply of the first", () => {
    const { rules, sent, reported } = twoLive();
    rules.ask(["x"], 100);
    const due = rules.nextWakeUp() as number;
    expect(due).toBeGreaterThanOrEqual(1_100);
    rules.tick(due);
    expect(sent.filter((line) => line.endsWith("x"))).toEqual(["b 1 x", "a 1 x"]);
    expect(reported).toEqual(["retried b timeout"]);
    rules.receive("b", reply(1, "late"), due + 1);
    expect(reported.at(-1)).toBe("1 late");
    rules.receive("a", reply(1, "later"), due + 2);
    expect(rules.stats()).toMatchObject({ replies: 1, late: 1, pending: 0 });
  });

  test("asks another server when the first one stops, and none as long as all of them do", () => {
    const { rules, sent, reported } = twoLive();
    const requests = (): string[] => sent.filter((line) => !line.endsWith("PING"));
    for (const body of ["x", "y"]) rules.ask([body], 100);
    rules.receive("b", reply(1, "ERROR", "stopping"), 110);
    expect(requests()).toEqual(["b 1 x", "b 2 y", "a 1 x", "a 2 y"]);
    expect(reported).toEqual(["left b stopping", "retried b dead", "retried b dead"]);
    rules.receive("b", reply(2, "ERROR", "stopping"), 111);
    for (const sequence of [1, 2]) rules.receive("a", reply(sequence, "ERROR", "stopping"), 120);
    expect(requests()).toHaveLength(4);
    // What b had begun still counts.
    rules.receive("b", reply(2, "done"), 130);
    expect(reported).toContain("2 done");
    expect(rules.stats()).toMatchObject({ replies: 1, failures: 0, pending: 1 });
    // A request would be refused again: until a PONG it is asked nothing.
    expect(reported).not.toContain("joined b");
    expect(requests()).toHaveLength(4);
    rules.receive("b", { type: "pong" }, 140);
    expect(reported.at(-1)).toBe("joined b");
    expect(requests().slice(4)).toEqual(["b 1 x"]);
  });

  test("forgets what is given up within its sending", () => {
    const { rules, sent, reported, listeners } = twoLive();
    listeners.sent = () => void rules.cancel(1);
    rules.ask(["x"], 100);
    rules.left("b", 150);
    expect(sent.filter((line) => line.endsWith("x"))).toEqual(["b 1 x"]);
    expect(reported).toEqual(["left b disconnected"]);
    expect(rules.stats()).toMatchObject({ pending: 0, failOvers: 0 });
  });

  test("sends to no other server what is given up by who hears of the loss of the first", () => {
    const { rules, sent, listeners } = twoLive();
    for (const body of ["x", "y", "z"]) rules.ask([body], 100);
    const givenUp = [2, 3];
    listeners["request:retried"] = () => rules.cancel(givenUp.shift() as number);
    rules.left("b", 150);
    expect(sent.filter((line) => line.startsWith("a "))).toEqual(["a 1 x"]);
    expect(rules.servers().map(({ asked }) => asked)).toEqual([1, 0]);
    listeners["server:left"] = () => rules.cancel(4);
    expect(rules.ask(["w"], 160)).toBe(4);
    rules.left("a", 165);
    expect(rules.stats().pending).toBe(1);
    rules.joined("a", 170);
    rules.receive("a", { type: "pong" }, 180);
    expect(sent.filter((line) => !line.endsWith("PING")).slice(-2)).toEqual(["a 4 w", "a 1 x"]);
  });

  test("takes a server for dead after its time to live, and for alive when it is heard of again", () => {
    const { rules, reported } = twoLive();
    for (const now of [2_000, 4_000, 6_000]) {
      rules.tick(now);
      rules.receive("a", { type: "pong" }, now);
    }
    rules.tick(6_010);
    expect(reported).toEqual(["left b silent"]);
    rules.joined("b", 7_000);
    rules.receive("b", { type: "pong" }, 7_010);
    expect(reported).toEqual(["left b silent", "joined b"]);
  });

  test("asks the same server once in an attempt, and a new one first", () => {
    const { rules, sent } = twoLive();
    const asked = () => sent.filter((line) => line.endsWith("x")).map((line) => line[0]);
    /** Both answer PINGs and nothing else. */
    const run = (from: number, to: number): void => {
      for (let now = from; now < to; now++) {
        rules.tick(now);
        for (const name of ["a", "b"]) rules.receive(name, { type: "pong" }, now);
      }
    };
    rules.ask(["x"], 100);
    run(101, 4_000);
    expect(asked()).toEqual(["b", "a", "b", "a"].slice(0, asked().length));
    expect(asked().length).toBe(4);
    rules.joined("c", 4_000);
    rules.receive("c", { type: "pong" }, 4_001);
    run(4_002, 6_000);
    expect(asked()[4]).toBe("c");
  });

  test("repeats little while its server answers others: a queue does not grow by repetitions", () => {
    const { rules, sent } = client("a");
    rules.receive("a", { type: "pong" }, 10);
    sent.length = 0;
    // A server of 500 requests a second, asked 250 times a second, after 3,000 at once.
    for (let n = 0; n < 3_000; n++) rules.ask(["x"], 10);
    let handled = 0;
    for (let now = 10; now < 20_000; now += 4) {
      rules.ask(["x"], now);
      for (let n = 0; n < 2; n++) {
        const line = sent[handled];
        if (line?.endsWith("PING")) rules.receive("a", { type: "pong" }, now);
        else if (line !== undefined) rules.receive("a", reply(Number(line.split(" ")[1]), "ok"), now);
        if (line !== undefined) handled += 1;
      }
      rules.tick(now);
    }
    expect(sent.length - handled).toBeLessThan(3);
    expect(rules.stats().pending).toBeLessThan(3);
  });

  test("asks another server while one has no room, or waits for room: that server is not lost", () => {
    const { rules, sent, reported, full } = twoLive();
    rules.ask(["x"], 100);
    full.add("b");
    rules.ask(["y"], 110);
    full.add("a");
    for (const body of ["z", "w"]) rules.ask([body], 120);
    expect(sent).toEqual(["b 1 x", "a 2 y"]);
    full.clear();
    rules.receive("b", reply(1, "ok"), 130);
    rules.writable(131);
    expect(sent.slice(2)).toEqual(["b 3 z", "b 4 w"]);
    expect(reported).toEqual(["1 ok"]);
    expect(rules.stats()).toMatchObject({ failOvers: 0, pending: 3 });
  });

  test("drops a server's replies to what it was not asked", () => {
    const { rules, reported } = twoLive();
    rules.ask(["x"], 100);
    rules.receive("a", reply(1, "forged"), 110); // Only b was asked.
    rules.receive("b", reply(9, "old"), 110);
    expect(reported).toEqual([]);
    expect(rules.stats()).toMatchObject({ late: 2, pending: 1 });
  });
});
