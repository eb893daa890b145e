import { describe, expect, it } from "vitest";
import { type DispatchLimits, DispatchRules } from "../../../src/patterns/titanic/dispatch-rules.js";
import {
  answer,
  parseReference,
  parseRequest,
  parseStatus,
  stored,
} from "../../../src/patterns/titanic/protocol.js";
import { decodeRecord, encodeRecord } from "../../../src/patterns/titanic/record.js";
import type { ClaimedRequest } from "../../../src/patterns/titanic/store.js";
import { formatUuid, parseUuid, UuidSource } from "../../../src/patterns/titanic/uuid.js";
import fc from "../../support/properties.js";
import { Random } from "../../support/simulation/random.js";

describe("a UUID", () => {
  it("is greater than the one before, whatever the clock does", () => {
    const source = new UuidSource();
    let last: Buffer = Buffer.alloc(16);
    for (let i = 0; i < 200_000; i++) {
      const uuid = source.next(i < 100_000 ? 1_000 : 1_000 - i);
      if (uuid.compare(last) <= 0) throw new Error(`${i}: ${formatUuid(uuid)} after ${formatUuid(last)}`);
      last = uuid;
    }
  });

  it("is 32 hexadecimal digits in upper case, and read in either", () => {
    const uuid = new UuidSource().next(Date.now());
    expect(formatUuid(uuid)).toMatch(/^[0-9A-F]{32}$/);
    expect(parseUuid(formatUuid(uuid))).toEqual(uuid);
    expect(parseUuid(Buffer.from(formatUuid(uuid).toLowerCase()))).toEqual(uuid);
    expect(parseUuid(`${formatUuid(uuid)}0`)).toBeUndefined();
    expect(parseUuid(`${formatUuid(uuid).slice(1)}g`)).toBeUndefined();
  });
});

describe("a record", () => {
  const frames = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 });

  it("gives back what was put in", () => {
    fc.assert(
      fc.property(frames, fc.double({ noNaN: true }), (given, expires) => {
        const record = decodeRecord(encodeRecord(given, expires));
        expect(record).toEqual({ expires, frames: given.map((frame) => Buffer.from(frame)) });
      }),
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
  it("has the bytes of RFC 9", () => {
    const uuid = Buffer.from("0123456789abcdef0123456789abcdef", "hex");
    expect(stored(uuid).map(String)).toEqual(["200", "0123456789ABCDEF0123456789ABCDEF"]);
    expect(answer("300").map((frame) => frame.toString("hex"))).toEqual(["333030"]);
    expect(parseRequest([Buffer.from("echo"), Buffer.from("a"), Buffer.alloc(0)])).toEqual({
      service: Buffer.from("echo"),
      body: [Buffer.from("a"), Buffer.alloc(0)],
    });
    expect(parseReference([Buffer.from("0123456789ABCDEF0123456789ABCDEF")])).toEqual(uuid);
    expect(parseReference([])).toBeUndefined();
    expect(
      parseReference([Buffer.from("0123456789ABCDEF0123456789ABCDEF"), Buffer.alloc(0)]),
    ).toBeUndefined();
  });

  it.each([
    ["200", "200"],
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

const LIMITS: DispatchLimits = {
  concurrency: 5,
  perService: 3,
  checkInterval: 100,
  maxCheckInterval: 400,
  retryDelay: 50,
  maxRetryDelay: 400,
  maxRetrying: 4,
  maxServices: 3,
  scanInterval: 500,
};

interface Kept {
  readonly request: ClaimedRequest;
  attempts: number;
  heldUntil: number;
}

/**
 * A store and services in memory, where each answer takes its time, services come and go, calls fail, and
 * the dispatcher is killed and started again. What was stored has to be answered in the end.
 */
function story(seed: number): void {
  const random = new Random(seed);
  const names = ["a", "b", "c", "d", "e"].map((name) => Buffer.from(name));
  const up = new Set<string>();
  const kept = new Map<string, Kept>();
  const trace: string[] = [];
  const flying = new Map<string, string>();
  let now = 0;
  let later: { at: number; life: number; run: () => void }[] = [];
  let life = 0;
  let steady = false;
  let rules = undefined as unknown as DispatchRules;
  let made = 0;
  let answered = 0;

  const after = (run: () => void): void => {
    later.push({ at: now + random.integer(0, steady ? 10 : 150), life, run });
  };
  const check = (condition: boolean, what: string): void => {
    if (!condition) throw new Error(`Seed ${seed}: ${what}\n${trace.slice(-60).join("\n")}`);
  };
  const start = (): void => {
    life += 1;
    flying.clear();
    for (const entry of kept.values()) entry.heldUntil = 0;
    const mine = life;
    rules = new DispatchRules(
      LIMITS,
      {
        check: (service) => {
          after(() =>
            rules.checked(service, up.has(service.toString()) && (steady || random.chance(0.9)), now),
          );
        },
        claim: (service, limit) => {
          check(limit > 0, "a claim of nothing");
          after(() => {
            const failed = !steady && random.chance(0.1);
            const found = [...kept.values()].filter(
              (k) => k.request.service.equals(service) && k.heldUntil <= now,
            );
            const claimed = failed ? [] : found.slice(0, limit);
            for (const entry of claimed) {
              entry.heldUntil = Number.POSITIVE_INFINITY;
              entry.attempts += 1;
            }
            rules.claimed(
              service,
              claimed.map((k) => ({ ...k.request, attempts: k.attempts })),
              limit,
              now,
            );
          });
        },
        deliver: (request) => {
          const name = request.uuid.toString();
          trace.push(`${now} deliver ${request.service} ${name}`);
          check(!flying.has(name), `${name} is delivered twice at once`);
          flying.set(name, request.service.toString());
          check(flying.size <= LIMITS.concurrency, `${flying.size} in flight`);
          const same = [...flying.values()].filter((service) => service === request.service.toString());
          check(same.length <= LIMITS.perService, `${same.length} in flight for ${request.service}`);
          after(() => {
            const ok = up.has(request.service.toString()) && (steady || random.chance(0.7));
            trace.push(`${now} ${ok ? "answered" : "failed"} ${name}`);
            flying.delete(name);
            if (ok && kept.delete(name)) answered += 1;
            rules.settled(request, ok, now);
          });
        },
        release: (request, delay) => {
          const entry = kept.get(request.uuid.toString());
          if (entry !== undefined) entry.heldUntil = now + delay;
        },
        scan: () => {
          after(() => {
            if (!steady && random.chance(0.1)) return rules.scanFailed(now);
            const services = new Map(
              [...kept.values()].map(({ request: r }) => [r.service.toString(), r.service]),
            );
            rules.found([...services.values()].slice(0, LIMITS.maxServices), now);
          });
        },
      },
      now,
    );
    trace.push(`${now} start ${mine}`);
  };
  const advance = (to: number): void => {
    for (;;) {
      later = later.filter((event) => event.life === life);
      const wake = rules.nextWakeUp() ?? Number.POSITIVE_INFINITY;
      const next = later.reduce((first, event) => (event.at < first.at ? event : first), {
        at: Number.POSITIVE_INFINITY,
        life,
        run: () => undefined,
      } as (typeof later)[0]);
      if (Math.min(wake, next.at) > to) break;
      if (next.at <= wake) {
        now = Math.max(now, next.at);
        later.splice(later.indexOf(next), 1);
        next.run();
      } else {
        now = Math.max(now, wake);
        rules.tick(now);
      }
    }
    now = to;
  };

  start();
  for (let step = 0; step < 60; step++) {
    const service = random.pick(names);
    const what = random.next();
    if (what < 0.6) {
      const uuid = Buffer.from(String(made++).padStart(6, "0"));
      kept.set(uuid.toString(), {
        request: { uuid, service, body: [], expires: Number.POSITIVE_INFINITY, attempts: 0 },
        attempts: 0,
        heldUntil: 0,
      });
      rules.stored(service, now);
    } else if (what < 0.8) {
      if (!up.delete(service.toString())) up.add(service.toString());
    } else if (what < 0.85) start();
    else if (what < 0.9) for (const [name] of [...kept].slice(0, 2)) if (!flying.has(name)) kept.delete(name);
    advance(now + random.integer(0, 300));
    check(rules.stats().services <= LIMITS.maxServices, "too many services");
  }
  steady = true;
  for (const name of names) up.add(name.toString());
  advance(now + 60_000);
  check(kept.size === 0, `${kept.size} requests are not answered: ${[...kept.keys()].join(" ")}`);
  const { services, inFlight, retrying } = rules.stats();
  check(services + inFlight + retrying === 0, `left over: ${JSON.stringify(rules.stats())}`);
  check(made === 0 || answered > 0, "nothing was answered");
}

describe("the dispatch rules", () => {
  it("answer everything in the end, within their bounds, whatever fails meanwhile", {
    timeout: 120_000,
  }, () => {
    const only = process.env.SHOAL_SEED;
    if (only !== undefined && only !== "") return story(Number(only));
    const runs = process.env.SHOAL_LONG === "1" ? 100_000 : 10_000;
    for (let seed = 1; seed <= runs; seed++) story(seed);
  });
});
