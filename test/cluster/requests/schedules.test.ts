/** The rules of requests under generated schedules: nodes that are killed and drained, full links, handlers that fail and that are slow. */
import { describe, expect, it } from "vitest";
import type { CallTerms } from "../../../src/cluster/requests/call.js";
import { BodyForm } from "../../../src/cluster/requests/wire.js";
import type { ShoalError } from "../../../src/core/errors.js";
import { LONG } from "../../support/long.js";
import { loadsOf, TERMS, World } from "./request-world.js";

const SCHEDULES = LONG ? 5_000 : 40;

interface Outcome {
  readonly body: string;
  readonly terms: CallTerms;
  ends: number;
  parts: string[];
  reply: string | undefined;
  error: ShoalError | undefined;
}

interface Faults {
  /** Nodes just met: each knows the serving ones some time later, in an order of its own. */
  readonly meets?: boolean;
  readonly kills: boolean;
  readonly drains: boolean;
  readonly failures: boolean;
}

/** Servers, callers, and requests at random times; `keep` are servers that nothing happens to. */
function run(seed: number, faults: Faults): { world: World; outcomes: Outcome[] } {
  const world = new World(seed);
  const { random } = world;
  const pick = (most: number): number => Math.floor(random() * most);
  const servers = Array.from({ length: 2 + pick(4) }, (_, at) => `server${at}`);
  const callers = Array.from({ length: 1 + pick(3) }, (_, at) => `caller${at}`);
  for (const id of [...servers, ...callers]) world.add(id);
  for (const id of servers)
    world.get(id).serve({ concurrency: 1 + pick(4), maxQueue: faults.failures ? pick(6) : 64 });
  if (faults.meets === true) {
    world.settle = 300;
    world.meet();
  }
  world.full = faults.failures && random() < 0.3 ? 0.1 : 0;
  world.workOf = (_, body) => {
    const at = Number(body.split(" ")[1]);
    return {
      ms: (at * 7) % 40,
      fails: faults.failures && at % 11 === 0,
      parts: at % 9,
    };
  };
  const outcomes: Outcome[] = [];
  for (let at = 0; at < 10 + pick(30); at++) {
    const caller = world.get(callers[pick(callers.length)] as string);
    const key = random() < 0.2 ? `key${pick(4)}` : "";
    const isStream = key === "" && random() < 0.25;
    // One body a key: another one would be refused.
    const body = key === "" ? `request ${at}` : `keyed ${Number(key.slice(3)) + 1}`;
    const terms: CallTerms = {
      ...TERMS,
      body: { form: BodyForm.TEXT, data: body },
      extras:
        key === "" && !isStream
          ? undefined
          : {
              method: "",
              key,
              headers: undefined,
              parts: isStream ? 1 + pick(4) : 0,
              bytes: isStream ? 1 + pick(8) : 0,
            },
      idempotent: key !== "" || random() < 0.3,
      attemptTimeout: faults.failures && random() < 0.2 ? 5 + pick(200) : -1,
      waitForReady: random() < 0.2,
    };
    const outcome: Outcome = { body, terms, ends: 0, parts: [], reply: undefined, error: undefined };
    outcomes.push(outcome);
    world.later(random() * 500, () => {
      if (!caller.isAlive) return;
      const call = caller.calls.call(world.now, terms, {
        reply: (_, reply) => {
          outcome.ends += 1;
          outcome.reply = reply.toString();
        },
        part: (_, part) => {
          outcome.parts.push(part.toString());
          world.later(
            random() * 5,
            () => caller.isAlive && caller.calls.read(world.now, call, 1, part.length),
          );
          return undefined;
        },
        end: () => {
          outcome.ends += 1;
        },
        fail: (error) => {
          outcome.ends += 1;
          outcome.error = error;
        },
      });
      if (faults.failures && random() < 0.1)
        world.later(random() * 100, () => {
          if (call.state === "over") return;
          outcome.ends += 1;
          caller.calls.giveUp(world.now, call, undefined);
        });
    });
  }
  // One server stays as it is.
  for (const id of servers.slice(1)) {
    if (faults.kills && random() < 0.4) world.later(random() * 500, () => world.kill(id));
    else if (faults.drains && random() < 0.6) world.later(random() * 500, () => world.drain(id));
  }
  world.runUntil(30_000);
  return { world, outcomes };
}

function check(seed: number, { world, outcomes }: { world: World; outcomes: Outcome[] }): void {
  const runs = [...world.nodes.values()].flatMap((node) => node.runs);
  for (const { body, terms, ends, parts, error } of outcomes) {
    expect(ends, `seed ${seed}: ${body} ends once`).toBe(1);
    const times = runs.filter((each) => each === body).length;
    if (!terms.idempotent) expect(times, `seed ${seed}: ${body} runs once at most`).toBeLessThanOrEqual(1);
    // In order, and all of them where it ended well.
    expect(parts, `seed ${seed}: ${body}`).toEqual(parts.map((_, at) => `${at + 1}`));
    if (terms.extras !== undefined && terms.extras.parts > 0 && error === undefined && parts.length > 0)
      expect(parts.length % 9, `seed ${seed}: ${body}`).toBeLessThan(9);
  }
  for (const node of world.nodes.values()) {
    if (!node.isAlive) continue;
    const { called, succeeded, failed } = node.calls.counts;
    expect([called - succeeded - failed, node.calls.nextWakeUp()], `seed ${seed}`).toEqual([0, undefined]);
    for (const { outstanding } of loadsOf(node.calls)) expect(outstanding, `seed ${seed}`).toBe(0);
    const { service } = node;
    if (service === undefined) continue;
    const { running, queued, queuedBytes, queue } = service;
    expect(
      [running, queued, queuedBytes, queue.length, node.serving.nextWakeUp()],
      `seed ${seed} ${node.id}`,
    ).toEqual([0, 0, 0, 0, undefined]);
    // A key runs once at a node.
    const keyed = node.runs.filter((body) => body.startsWith("keyed"));
    const failing = keyed.filter((body) => Number(body.split(" ")[1]) % 11 === 0);
    if (failing.length === 0 && node.aborted.length === 0)
      expect(new Set(keyed).size, `seed ${seed} ${node.id}: ${keyed}`).toBe(keyed.length);
  }
}

describe("generated schedules of requests", () => {
  it(`ends each request once, runs what is not idempotent once at most, and leaves nothing behind (${SCHEDULES} schedules)`, () => {
    for (let seed = 1; seed <= SCHEDULES; seed++)
      check(seed, run(seed, { kills: true, drains: true, failures: true }));
  });

  it(`runs a key once, whichever node asks and when, where nodes stay (${SCHEDULES} schedules)`, () => {
    for (let seed = 1; seed <= SCHEDULES; seed++) {
      const { world, outcomes } = run(seed, { kills: false, drains: false, failures: true, meets: true });
      const all = [...world.nodes.values()];
      for (const { body, terms } of outcomes) {
        const nodes = all.filter(({ runs }) => runs.includes(body)).map(({ id }) => id);
        if (terms.extras?.key !== "" && terms.extras !== undefined)
          expect(nodes.length, `seed ${seed}: ${body} at ${nodes}`).toBeLessThanOrEqual(1);
      }
    }
  });

  it(`fails no request where nodes are drained and one is left (${SCHEDULES} schedules)`, () => {
    for (let seed = 1; seed <= SCHEDULES; seed++) {
      const result = run(seed, { kills: false, drains: true, failures: false });
      check(seed, result);
      for (const { body, error } of result.outcomes) expect(error, `seed ${seed}: ${body}`).toBeUndefined();
    }
  });

  it(`fails no idempotent request where nodes are killed and one is left (${SCHEDULES} schedules)`, () => {
    for (let seed = 1; seed <= SCHEDULES; seed++) {
      const result = run(seed, { kills: true, drains: true, failures: false });
      check(seed, result);
      for (const { body, terms, parts, error } of result.outcomes)
        if (terms.idempotent && parts.length === 0) expect(error, `seed ${seed}: ${body}`).toBeUndefined();
    }
  });
});
