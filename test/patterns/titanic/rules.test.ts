import { describe, expect, it } from "vitest";
import { ClosedError } from "../../../src/core/errors.js";
import { checkOptions } from "../../../src/kit/options.js";
import type { MajordomoClient } from "../../../src/patterns/majordomo/client.js";
import { DispatchRules, OPTIONS, type TitanicOptions } from "../../../src/patterns/titanic/dispatch-rules.js";
import { Dispatcher } from "../../../src/patterns/titanic/dispatcher.js";
import {
  formatUuid,
  parseRequest,
  parseStatus,
  parseUuid,
  UuidSource,
} from "../../../src/patterns/titanic/protocol.js";
import type { TitanicClaimedRequest } from "../../../src/patterns/titanic/store.js";
import { decodeRecord, encodeRecord } from "../../../src/store/store.js";
import { until } from "../../contract/support/wait.js";
import fc from "../../support/properties.js";
import { GatedStore } from "./gated-store.js";

it("a UUID is greater than the one before, whatever the clock does", () => {
  const source = new UuidSource();
  let last: Buffer = Buffer.alloc(16);
  for (let i = 0; i < 200_000; i++) {
    const uuid = source.next(i < 100_000 ? 1_000 : 1_000 - i);
    if (uuid.compare(last) <= 0) throw new Error(`${i}: ${formatUuid(uuid)} after ${formatUuid(last)}`);
    last = uuid;
  }
});

describe("a record", () => {
  const frames = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 });

  it("gives back what was put in", () => {
    fc.assert(
      fc.property(frames, fc.double({ noNaN: true }), (given, expires) => {
        const record = decodeRecord(encodeRecord(given, expires));
        expect(record).toEqual({ expires, frames: given.map((frame) => Buffer.from(frame)) });
      }),
      { defaultRuns: 60 },
    );
  });

  it("is known as damaged when any bit of it changed, or it is cut", () => {
    fc.assert(
      fc.property(frames, fc.nat(), fc.nat({ max: 7 }), (given, at, bit) => {
        const bytes = encodeRecord(given, 1);
        expect(typeof decodeRecord(bytes.subarray(0, at % bytes.length))).toBe("string");
        bytes[at % bytes.length] = (bytes[at % bytes.length] as number) ^ (1 << bit);
        expect(typeof decodeRecord(bytes)).toBe("string");
      }),
    );
  });
});

describe("the protocol", () => {
  it("has a form in which the client makes the UUID", () => {
    const uuid = "0123456789ABCDEF0123456789ABCDEF";
    const parse = (uuid?: string, ...frames: string[]): unknown =>
      parseRequest(
        parseUuid(uuid),
        frames.map((frame) => Buffer.from(frame)),
      );
    const command = {
      uuid: Buffer.from(uuid, "hex"),
      service: Buffer.from("echo"),
      body: [Buffer.from("a")],
    };
    expect(parse(uuid, "echo", "a")).toEqual(command);
    for (const frames of [[], [uuid], [uuid, "echo"], [uuid, "", "a"], [uuid, "mmi.x", "a"]])
      expect(parse(...frames)).toBeTypeOf("string");
    expect(parse(`${uuid}0`, "echo", "a")).toBeTypeOf("string");
  });

  it.each([
    ["200", "200"],
    ["502", "502"],
    ["503", "503"],
    ["200 OK", "200"],
    ["400", "400"],
    ["2000", undefined],
    ["", undefined],
    ["20", undefined],
    ["201", undefined],
  ])("reads the status %j as %j", (text, status) => {
    expect(parseStatus(Buffer.from(text))).toBe(status);
  });
});

const LIMITS = {
  timeout: 1_000,
  concurrency: 5,
  perService: 3,
  checkInterval: 100,
  maxCheckInterval: 400,
  retryDelay: 50,
  maxRetryDelay: 400,
  maxAttempts: 4,
  maxRetrying: 4,
  maxServices: 3,
  scanInterval: 500,
};

/** The rules at time 0, with what they want done as text, and one service that is there. */
function driven(limits: TitanicOptions = {}) {
  const wanted: string[] = [];
  const rules = new DispatchRules(
    checkOptions("Titanic", OPTIONS, { ...LIMITS, ...limits }),
    {
      check: (service) => wanted.push(`check ${service}`),
      claim: (service, limit) => wanted.push(`claim ${service} ${limit}`),
      deliver: ({ uuid }) => wanted.push(`deliver ${uuid}`),
      giveUp: ({ uuid }) => wanted.push(`give up ${uuid}`),
      release: ({ uuid }, delay, failed) => wanted.push(`release ${uuid} ${delay}${failed ? " failed" : ""}`),
      markDead: ({ uuid }) => wanted.push(`dead ${uuid}`),
      scan: () => wanted.push("scan"),
    },
    0,
    () => 1,
  );
  rules.stored(ECHO, 0);
  rules.checked(ECHO, true, 0);
  const request = (name: string, attempts = 1): TitanicClaimedRequest => ({
    uuid: Buffer.from(name),
    service: ECHO,
    body: [],
    expires: Number.POSITIVE_INFINITY,
    attempts,
  });
  return { rules, wanted, request };
}

const ECHO = Buffer.from("echo");

describe("the dispatch rules", () => {
  it("keep a copy of a service's name, not the chunk that it came in", () => {
    const { rules, wanted } = driven({ concurrency: 10 });
    const chunk = Buffer.from("resize, and the rest of the request");
    rules.stored(chunk.subarray(0, 6), 0);
    chunk.fill(0);
    wanted.splice(0);
    rules.checked(Buffer.from("resize"), true, 1);
    expect(wanted).toEqual([expect.stringMatching(/^claim resize/)]);
  });

  it("give a request up after its timeout, but not while the service is at earlier ones", () => {
    const { rules, wanted, request } = driven();
    const [one, two, three] = [request("one"), request("two"), request("three")];
    rules.claimed(ECHO, [one, two, three], 3, 0);
    wanted.splice(0);
    const until = (end: number): string[] => {
      for (let now = rules.nextWakeUp() ?? end; now < end; now = rules.nextWakeUp() ?? end) rules.tick(now);
      return wanted.splice(0).filter((line) => line.startsWith("give up"));
    };
    expect(until(900)).toEqual([]);
    rules.settled(one, "answered", 900);
    expect(until(1_800)).toEqual([]);
    rules.settled(two, "answered", 1_800); // The service needs 900 ms for each, and is at the third.
    expect(until(2_700)).toEqual([]);
    expect(until(10_000)).toEqual(["give up three"]);
  });

  it("claim no more past 64 MiB of a service, and go on when there is room, with a claim that was cut short", () => {
    const { rules, wanted, request } = driven({ concurrency: 10, perService: 10 });
    const body = [Buffer.alloc(35_000_000)];
    const large = (name: string): TitanicClaimedRequest => ({ ...request(name), body });
    const [one, two] = [large("1"), large("2")];
    wanted.splice(0);
    rules.claimed(ECHO, [one, two], 10, 0);
    rules.stored(ECHO, 1);
    expect(wanted.splice(0)).toEqual(["deliver 1", "deliver 2"]);
    // Another service does not wait for the large requests of this one.
    rules.stored(Buffer.from("other"), 1);
    rules.checked(Buffer.from("other"), true, 1);
    expect(wanted.splice(0)).toEqual(["check other", "claim other 8"]);
    rules.settled(one, "answered", 2);
    rules.claimed(Buffer.from("other"), [], 8, 3);
    expect(wanted.splice(0)).toEqual(["claim echo 1"]);
  });

  it("have as many claims in flight as 128 MiB may come of", () => {
    const { rules, wanted } = driven({ concurrency: 100, perService: 10, maxServices: 10 });
    const claims = (): string[] => wanted.splice(0).filter((each) => each.startsWith("claim"));
    for (const name of ["a", "b", "c", "d"]) {
      rules.stored(Buffer.from(name), 1);
      rules.checked(Buffer.from(name), true, 1);
    }
    expect(claims()).toEqual(["claim echo 10", "claim a 10", "claim b 10", "claim c 10"]);
    rules.claimed(Buffer.from("a"), [], 10, 2);
    expect(claims()).toEqual(["claim d 10"]);
  });

  it("claim again for a request whose retry became due during a claim which did not see it", () => {
    const { rules, wanted, request } = driven();
    const one = request("1");
    rules.claimed(ECHO, [one], 3, 0);
    rules.settled(one, "failed", 0);
    rules.checked(ECHO, true, 0);
    rules.stored(ECHO, 0);
    expect(wanted.splice(0).at(-1)).toBe("claim echo 3");
    rules.tick(60);
    rules.claimed(ECHO, [], 3, 61);
    expect(wanted.at(-1)).toBe("claim echo 3");
  });

  it("look for a service that is away less and less often, and as often as at first once it was there", () => {
    const { rules, wanted, request } = driven();
    let now = 0;
    /** @returns ms from one answer to the next question */
    const pause = (isAvailable: boolean): number => {
      const before = now;
      wanted.length = 0;
      rules.checked(ECHO, isAvailable, now);
      while (!isAvailable && !wanted.includes("check echo")) {
        now = rules.nextWakeUp() as number;
        rules.tick(now);
      }
      return now - before;
    };
    const fail = (): void => {
      const one = request("1");
      rules.claimed(ECHO, [one], 3, now);
      rules.settled(one, "undelivered", now);
    };
    fail();
    expect([pause(false), pause(false), pause(false), pause(false)]).toEqual([100, 200, 400, 400]);
    pause(true);
    fail();
    expect(pause(false)).toBe(100);
  });

  it("give a service that is there the place of one that is not, and keep to their number", () => {
    const { rules, wanted } = driven();
    for (const name of ["no", "none", "nobody", "nowhere"]) rules.stored(Buffer.from(name), 0);
    expect(rules.stats().services).toBe(3);
    for (const name of ["no", "none"]) rules.checked(Buffer.from(name), false, 0);
    wanted.length = 0;
    rules.stored(Buffer.from("print"), 1);
    rules.checked(Buffer.from("print"), true, 2);
    expect(wanted).toEqual(["check print", "claim print 2"]);
    expect(rules.stats().services).toBe(3);
  });

  it("do not look for a service that gave its place to another while it waited for a free request", () => {
    const { rules, wanted, request } = driven({ concurrency: 1, maxServices: 2 });
    const other = Buffer.from("other");
    rules.stored(other, 0);
    rules.checked(other, true, 0);
    const last = request("1", LIMITS.maxAttempts);
    rules.claimed(ECHO, [last], 1, 0);
    rules.settled(last, "failed", 1);
    rules.checked(ECHO, false, 2);
    rules.stored(Buffer.from("third"), 3);
    wanted.length = 0;
    rules.claimed(other, [], 1, 200);
    expect([wanted, rules.stats().services]).toEqual([[], 1]);
  });

  it("give a failing request up after as many attempts as it has, each later than the one before", () => {
    const { rules, wanted, request } = driven();
    for (let attempts = 1; attempts <= 4; attempts++) {
      const one = request("1", attempts);
      rules.stored(ECHO, 1_000 * attempts);
      rules.checked(ECHO, true, 1_000 * attempts);
      rules.claimed(ECHO, [one], 3, 1_000 * attempts);
      rules.settled(one, "failed", 1_000 * attempts);
    }
    const ends = wanted.filter((what) => /release|dead/.test(what));
    expect(ends).toEqual(["release 1 50 failed", "release 1 100 failed", "release 1 200 failed", "dead 1"]);
  });

  it("count no attempt of a request that its service never had", () => {
    const { rules, wanted, request } = driven();
    const one = request("1", 4);
    rules.claimed(ECHO, [one], 3, 0);
    rules.settled(one, "undelivered", 0);
    expect(wanted.at(-1)).toBe("release 1 400");
  });

  it("count an attempt that timed out when the request was first in its service's line", () => {
    type Three = [TitanicClaimedRequest, TitanicClaimedRequest, TitanicClaimedRequest];
    const ends = (settle: (rules: DispatchRules, requests: Three) => void): string[] => {
      const { rules, wanted, request } = driven();
      const requests: Three = [request("1"), request("2"), request("3")];
      rules.claimed(ECHO, requests, 3, 0);
      settle(rules, requests);
      return wanted.filter((what) => what.startsWith("release"));
    };
    // The service hangs: nobody knows that it had the others.
    expect(
      ends((rules, requests) => {
        for (const request of requests) rules.settled(request, "timed-out", 1);
      }),
    ).toEqual(["release 1 50 failed", "release 2 50", "release 3 50"]);
    // It answered the one that was before.
    expect(
      ends((rules, [one, two, three]) => {
        rules.settled(one, "answered", 1);
        rules.settled(two, "timed-out", 1);
        rules.settled(three, "timed-out", 1);
      }),
    ).toEqual(["release 2 50 failed", "release 3 50"]);
    // The handler threw at the one that was before.
    expect(
      ends((rules, [one, two, three]) => {
        rules.settled(one, "failed", 1);
        rules.settled(two, "timed-out", 1);
        rules.settled(three, "timed-out", 1);
      }),
    ).toEqual(["release 1 50 failed", "release 2 50 failed", "release 3 50"]);
    // It answered one that came later.
    expect(
      ends((rules, [, two, three]) => {
        rules.settled(three, "answered", 1);
        rules.settled(two, "timed-out", 1);
      }),
    ).toEqual(["release 2 50 failed"]);
  });
});

const request = (first: number, service: string) => ({
  uuid: Buffer.alloc(16, first),
  service: Buffer.from(service),
  body: [Buffer.from("x")],
  expires: Number.MAX_SAFE_INTEGER,
});

type Joined = (event: { readonly extended: boolean }) => void;

/** A dispatcher whose calls nobody answers. @param workers services that are there; all, if missing */
function dispatched(store: GatedStore, options: TitanicOptions, workers?: readonly string[]) {
  let joined: Joined = () => undefined;
  const asked: string[] = [];
  const calls: ((error: Error) => void)[] = [];
  const client = {
    events: { on: (_: string, listener: Joined) => (joined = listener) },
    // mmi.service
    request: async (_: string, [name]: readonly Buffer[]) => [
      Buffer.from(workers?.includes(String(name)) === false ? "404" : "200"),
    ],
    requestAs: (
      service: string,
      _: unknown,
      __: unknown,
      { started }: { started: (end: unknown) => void },
    ) => {
      asked.push(service);
      return new Promise((_, reject) => {
        calls.push(reject);
        started(reject);
      });
    },
  } as unknown as MajordomoClient;
  const settings = checkOptions("Titanic", OPTIONS, options);
  const dispatcher = new Dispatcher(store, client, settings, () => undefined);
  const stop = async (): Promise<void> => {
    const stopped = dispatcher.stop();
    for (const end of calls) end(new ClosedError("EAGAIN", "closed"));
    await stopped;
  };
  return { dispatcher, asked, joined, stop };
}

it("services past `maxServices` come in their turn while those before them are away", async () => {
  const store = new GatedStore();
  const services = ["a", "b", "c", "d", "e"];
  for (const [i, service] of services.entries()) await store.put(request(i, service));
  const { asked, stop } = dispatched(store, { maxServices: 2, scanInterval: 1 }, ["e"]);
  await until(() => asked.includes("e"), "the last one is found");
  await stop();
});

it.each([
  [true, 3],
  [false, 1],
])("a broker of shoal (%s) gets %i requests at a time", async (extended, most) => {
  const store = new GatedStore();
  for (const [i, service] of ["stuck", "stuck", "echo"].entries()) await store.put(request(i, service));
  const { dispatcher, asked, joined, stop } = dispatched(store, {});
  joined({ extended });
  for (const service of ["stuck", "echo"]) dispatcher.stored(Buffer.from(service));
  await until(() => dispatcher.stats().inFlight === most, "requests are in flight");
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(asked.length).toBe(most);
  await stop();
});
