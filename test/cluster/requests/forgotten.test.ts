/** Requests that their node has no more, or never got: who asked does not wait for them until the time is over. */
import { describe, expect, it } from "vitest";
import type { CallTerms } from "../../../src/cluster/requests/call.js";
import { BodyForm, RequestOp } from "../../../src/cluster/requests/wire.js";
import type { ShoalError } from "../../../src/core/errors.js";
import { SERVICE, SETTINGS, TERMS, World } from "./request-world.js";

/** ms until a handler has its reply. */
const WORK = 1_000;

/** Nodes of which some serve, and what comes of the requests of one of them. */
function pair(...serving: readonly string[]) {
  const world = new World(1);
  world.workOf = () => ({ ms: WORK, fails: false, parts: 0 });
  const caller = world.add("caller");
  for (const id of serving) world.add(id);
  for (const id of serving) world.get(id).serve(SETTINGS);
  world.changed();
  const sent: Buffer[] = [];
  const carry = world.carry.bind(world);
  world.carry = (from, to, item) => {
    if (from === caller) sent.push(item);
    carry(from, to, item);
  };
  const ended: string[] = [];
  const note = (text: string): void => void ended.push(`${Math.round(world.now / 1_000)} s: ${text}`);
  return {
    world,
    caller,
    sent,
    ended,
    ask: (body: string, terms: Partial<CallTerms> = {}) =>
      void caller.calls.call(
        world.now,
        { ...TERMS, timeout: 60_000, body: { form: BodyForm.TEXT, data: body }, ...terms },
        {
          reply: (_, reply) => note(String(reply)),
          part: () => undefined,
          end: () => note("end"),
          fail: (error: ShoalError & { reason?: string }) => note(`${error.reason ?? error.code}`),
        },
      ),
  };
}

describe("a request that its node dropped, since its caller seemed lost", () => {
  it("is made again where it is idempotent, and fails at once where it is not", () => {
    const { world, ended, ask } = pair("s");
    ask("a", { idempotent: true });
    ask("b");
    world.runUntil(500);
    // The caller stood still, say: it is back before it can learn of that.
    world.get("s").serving.onGone(world.now, "caller");
    world.runUntil(20_000);
    expect(ended.sort()).toEqual(["2 s: worker-lost", "3 s: a!"]);
    expect(world.get("s").runs).toEqual(["a", "b", "a"]);
    expect(world.get("s").serving.refused).toEqual({ gone: 2 });
  });

  it("is not asked after more often than each 30 s while its node works", () => {
    const { world, sent, ended, ask } = pair("s");
    world.workOf = () => ({ ms: 300_000, fails: false, parts: 0 });
    ask("long", { timeout: -1 });
    world.runUntil(310_000);
    expect(ended).toEqual(["300 s: long!"]);
    // The request, 2, 6, 14 and 30 s after it, and then every 30 s.
    expect(sent).toHaveLength(1 + 4 + 8);
    expect(world.get("s").serving.refused).toEqual({});
  });
});

describe("a streamed request that one end dropped, since the other seemed lost", () => {
  /** Without a limit of time; two parts may be sent before any was read. */
  const STREAM = { timeout: -1, extras: { method: "", key: "", headers: undefined, parts: 2, bytes: 1_024 } };

  it("fails 2 s after its last part, however rarely its node was asked before", () => {
    const { world, ended, ask } = pair("s");
    world.workOf = () => ({ ms: 1, fails: false, parts: 5 });
    const { serving } = world.get("s");
    ask("a", STREAM);
    // Nothing is read for long; then one part is.
    world.runUntil(50_000);
    expect(world.get("s").service?.running).toBe(1);
    serving.onItem(world.now, "caller", { op: RequestOp.CREDIT, id: 1, parts: 1, bytes: 1_024 });
    world.runUntil(50_100);
    serving.onGone(world.now, "caller");
    world.runUntil(70_000);
    expect(ended).toEqual(["52 s: worker-lost"]);
    expect(serving.refused).toEqual({ gone: 1 });
  });

  it("ends by itself, however slowly its parts come, and though they need no credit", () => {
    const { world, ended, ask } = pair("s");
    world.workOf = () => ({ ms: 1, fails: false, parts: 200, pause: 1_000 });
    ask("a", { timeout: -1, extras: { ...STREAM.extras, parts: 1_000, bytes: 65_536 } });
    world.runUntil(210_000);
    expect(ended).toEqual(["200 s: end"]);
  });

  it("holds its slot no longer than its caller may be silent", () => {
    const { world, caller, ended, ask } = pair("s");
    world.workOf = () => ({ ms: 1, fails: false, parts: 5 });
    ask("a", STREAM);
    ask("b", STREAM);
    world.runUntil(100);
    // The node stood still, say: it is back before it can learn of that, and has lost nobody.
    caller.calls.onGone(world.now, "s");
    expect(ended).toEqual(["0 s: worker-lost", "0 s: worker-lost"]);
    ask("c", STREAM);
    world.runUntil(100_000);
    expect(world.get("s").aborted).toEqual(["a", "b"]);
    expect(world.get("s").service?.running).toBe(1);
  });
});

describe("a request whose only node drains", () => {
  it("waits for one that serves, where it waits for any, and then goes there", () => {
    const { world, ended, ask } = pair("s", "t");
    world.get("t").isServing = false;
    world.changed();
    world.get("s").serving.drain(world.get("s").service as never);
    ask("a", { waitForReady: true });
    ask("b");
    world.later(5_000, () => {
      world.get("t").isServing = true;
      world.changed();
    });
    world.runUntil(20_000);
    expect(ended).toEqual(["0 s: stopping", "6 s: a!"]);
  });

  it("goes to that one where it serves again, and nothing else has changed", () => {
    const { world, sent, ended, ask } = pair("s");
    const node = world.get("s");
    node.serving.remove(node.service as never);
    ask("a", { waitForReady: true });
    world.later(10_000, () => {
      node.service = node.serving.add(SERVICE, SETTINGS);
    });
    world.runUntil(20_000);
    expect(ended).toEqual([expect.stringMatching(/^1[12] s: a!$/)]);
    // It is asked after times that grow up to a second.
    expect(sent.length).toBeLessThan(40);
  });
});

describe("a request whose nodes are all lost", () => {
  it("waits for one that is back, where it waits for any, whatever its retries are", () => {
    const { world, caller, ended, ask } = pair("s", "t");
    ask("a", { waitForReady: true, idempotent: true });
    ask("b", { idempotent: true });
    for (const id of ["s", "t"]) {
      world.get(id).isServing = false;
      world.changed();
      caller.calls.onGone(world.now, id);
    }
    world.later(30_000, () => {
      world.get("t").isServing = true;
      world.changed();
    });
    world.runUntil(50_000);
    expect(ended).toEqual(["0 s: worker-lost", "31 s: a!"]);
  });
});
