/** The scenarios of patterns: what their sides check, and what they leave behind. */
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { describe, expect, it } from "vitest";
import { expectedChecksum } from "../../bench/bodies.js";
import type { Scenario, SideRequest } from "../../bench/contract.js";
import { planOf } from "../../bench/options.js";
import type { Kit } from "../../bench/peers/node/kit.js";
import { type Asker, askOnSchedule, askPipelined } from "../../bench/peers/node/roles/asking.js";
import { CreditGiver, CreditTaker } from "../../bench/peers/node/roles/credit.js";
import type { Outcome, Side } from "../../bench/peers/node/side.js";
import type { BenchRecord } from "../../bench/report/records.js";
import { summarize } from "../../bench/report/summary.js";
import { run } from "../../bench/runner/run.js";
import * as sockets from "../../src/index.js";
import { contender, scenario, settings } from "./support.js";

const SIZE = 16;
const WARMUP = 40;
const COUNT = 100;

/** What a client sees of the side that it plays, without a process around it. */
function side(options: Readonly<Record<string, number | string>>) {
  const told: Outcome[] = [];
  const fake = {
    size: SIZE,
    warmup: WARMUP,
    count: COUNT,
    option: (name: string, otherwise: string) => String(options[name] ?? otherwise),
    number: (name: string, otherwise: number) => Number(options[name] ?? otherwise),
    ready: async () => undefined,
    begin: () => undefined,
    end: () => undefined,
    done: async (outcome: Outcome) => void told.push(outcome),
  };
  return { told, side: fake as unknown as Side };
}

/** Answers a request after `delay` ms, changed by `change`. */
class Echo implements Asker {
  onReply: (reply: Buffer) => void = () => undefined;
  underWay = 0;
  most = 0;
  readonly #answer: (k: number, body: Buffer) => { readonly body: Buffer; readonly delay: number };

  constructor(answer: (k: number, body: Buffer) => { readonly body: Buffer; readonly delay: number }) {
    this.#answer = answer;
  }

  ask(k: number, body: Buffer): void {
    this.underWay++;
    this.most = Math.max(this.most, this.underWay);
    const reply = this.#answer(k, body);
    setTimeout(() => {
      this.underWay--;
      this.onReply(reply.body);
    }, reply.delay);
  }

  async close(): Promise<void> {}
}

describe("the client of a broker", () => {
  it("keeps a window of requests under way, and counts replies in any order", async () => {
    const echo = new Echo((k, body) => ({ body, delay: (k * 7) % 5 }));
    const { told, side: player } = side({ window: 10 });
    await askPipelined(player, echo);
    expect(echo.most).toBe(10);
    const [outcome] = told;
    expect(outcome).toMatchObject({ messages: COUNT, bytes: COUNT * SIZE, ordered: true });
    expect(outcome?.checksum).toBe(expectedChecksum(SIZE, WARMUP, COUNT));
  });

  it("reports when a reply came twice in place of another", async () => {
    let first: Buffer | undefined;
    const echo = new Echo((k, body) => {
      first ??= body;
      return { body: k === WARMUP + 3 ? first : body, delay: 0 };
    });
    const { told, side: player } = side({ window: 1 });
    await askPipelined(player, echo);
    expect(told[0]?.ordered).toBe(false);
  });

  it("on schedule counts from when a request was due: a pause delays all that were due in it", async () => {
    const rate = 1_000;
    let paused = false;
    const echo = new Echo((k, body) => {
      if (k === WARMUP + 20 && !paused) {
        paused = true;
        for (const end = performance.now() + 50; performance.now() < end; );
      }
      return { body, delay: 0 };
    });
    const { told, side: player } = side({ window: 4, rate });
    await askOnSchedule(player, echo);
    const [outcome] = told;
    expect(outcome).toMatchObject({ messages: COUNT, ordered: true, extra: { rate } });
    // Of 100 requests about 50 were due in the pause: a client that waited for replies would have seen one.
    expect(outcome?.latency?.["75"]).toBeGreaterThan(10_000);
    expect(outcome?.latency?.["100"]).toBeGreaterThan(45_000);
  });
});

describe("a publisher", () => {
  it("is at most two windows ahead of its slowest reader, and sends nothing before all are there", async () => {
    const kit = sockets as unknown as Kit;
    const taker = await CreditTaker.bind(kit, "tcp://127.0.0.1:*", 2, 10);
    const [quick, slow] = [0, 1].map((index) => new CreditGiver(kit, String(taker.endpoint), index, 10)) as [
      CreditGiver,
      CreditGiver,
    ];
    try {
      quick.hello();
      quick.has(35);
      expect(taker.allowed).toBe(0);
      slow.hello();
      while (taker.allowed === 0) await taker.more();
      expect(taker.allowed).toBe(20);
      slow.has(9);
      slow.has(30);
      while (taker.allowed < 50) await taker.more();
      expect(taker.allowed).toBe(50);
    } finally {
      await Promise.all([quick.close(), slow.close(), taker.close()]);
    }
  });
});

describe("a plan", () => {
  it.each([
    ["majordomo", "load=heavy", /unknown load "heavy"; known are concurrency-16, /],
    ["majordomo-under-load", "rate=some", /rate must be a whole number above 0; got "some"/],
    ["majordomo-growth", "services=0", /services must be a whole number above 0; got 0/],
    ["titanic", "until=never", /unknown until "never"; known are acknowledged, answered/],
    ["clone", "keys=0", /keys must be a whole number above 0; got 0/],
    ["clone", "peers=all", /peers must be a whole number above 0; got "all"/],
    ["clone-set", "rate=none", /rate must be a whole number above 0; got "none"/],
    ["cluster-publish", "nodes=2.5", /nodes must be a whole number above 0; got 2.5/],
    ["connection-storm", "connections=many", /connections must be a whole number above 0; got "many"/],
    ["pipeline", "workers=0", /workers must be a whole number above 0; got 0/],
    ["curve", "security=plain", /unknown security "plain"; known are null, curve/],
    ["last-value-cache", "topics=-1", /topics must be a whole number above 0; got -1/],
  ])("of %s refuses %s", (name, set, reason) => {
    const planned = () => planOf({ what: [name], set: [set] });
    expect(planned).toThrow(reason);
    expect(planned).toThrow(expect.objectContaining({ name: "BadInput" }));
  });

  it("of one rate for all contenders is fine, too", () => {
    const plan = planOf({ what: ["majordomo-under-load"], set: ["rate=2000"] });
    expect(plan.cases.map(({ chosen }) => chosen.parameters)).toEqual([{ rate: 2000 }]);
  });
});

describe("a report", () => {
  it("compares a pattern with plain sockets of the same topology", () => {
    const majordomo = planOf({ what: ["majordomo"] }).cases[0]?.scenario as Scenario;
    const key = {
      scenario: "majordomo",
      transport: "tcp",
      size: 64,
      parameters: { load: "synchronous" },
    } as const;
    const runs = Object.entries({ "shoal-zmtp": 50, "shoal-zmtp-plain": 100, libzmq: 200 }).map(
      ([contender, requestsPerSecond]): BenchRecord => ({
        ...{
          type: "run",
          ...key,
          contender,
          round: 0,
          count: 1,
          warmup: 1,
          at: "2026-01-01T00:00:00Z",
          sides: [],
        },
        figures: { requestsPerSecond },
      }),
    );
    const [one] = summarize(runs, majordomo);
    expect(one?.reference).toBe("shoal-zmtp-plain");
    expect(one?.rows.map(({ ratio }) => ratio?.value)).toEqual([0.5, undefined, 2]);
    expect(summarize(runs, majordomo, "libzmq")[0]?.reference).toBe("libzmq");
  });
});

describe("a run", () => {
  const chosen = { transport: "tcp", size: 8, parameters: {} } as const;

  /** The requests for its two sides. */
  async function played(producer: object, backend?: string): Promise<SideRequest[]> {
    const requests: SideRequest[] = [];
    const changed: Scenario = {
      ...scenario,
      roles: (...all) => scenario.roles(...all).map((role, i) => (i === 0 ? role : { ...role, ...producer })),
    };
    const one = contender("one");
    const listening = {
      ...one,
      command: (request: SideRequest) => {
        requests.push(request);
        const options = backend === undefined ? request.options : { ...request.options, backend };
        return one.command({ ...request, options });
      },
    };
    const request = { scenario: changed, contender: listening, chosen, count: 100, warmup: 10 };
    await run(request, { ...settings(), timeout: 10_000 });
    return requests;
  }

  it("gives workers the endpoint that a broker has for them, or its only one", async () => {
    const connects = ["consumer/backend"];
    const [, apart] = await played({ connects }, "tcp://127.0.0.1:2");
    expect(apart?.endpoint).toBe("tcp://127.0.0.1:2");
    const [, same] = await played({ connects });
    expect(same?.endpoint).toBe("tcp://127.0.0.1:*");
  });

  it("gives a side that writes files a folder, and removes it", async () => {
    const [consumer, producer] = await played({ folder: true });
    expect(consumer?.options.folder).toBeUndefined();
    expect(producer?.options.folder).toContain(tmpdir());
    expect(existsSync(String(producer?.options.folder))).toBe(false);
  });
});
