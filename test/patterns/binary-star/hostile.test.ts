/** A pair's servers under clients that do not read, or send nonsense, and through stops in every order. */
import { beforeEach, expect, test } from "vitest";
import { Dealer, type Raw } from "../../../src/index.js";
import type { BinaryStarClient, BinaryStarServer, RequestHandler } from "../../../src/patterns/index.js";
import { failure, until, within } from "../../contract/support/wait.js";
import { held } from "../../kit/services.js";
import { missing } from "../../support/peers.js";
import { pythonIn } from "../pirate/python.js";
import { HEARTBEAT, type Places, ROLES, type Role, starRig } from "./rig.js";

const { keep, places, serve, ask } = starRig();
let at: Places;
beforeEach(() => {
  at = places();
});

async function pair(
  handler: RequestHandler<Raw>,
  options: { maxInFlight?: number; heartbeatInterval?: number } = {},
): Promise<Record<Role, BinaryStarServer>> {
  const primary = await serve("primary", at, handler, options);
  const backup = await serve("backup", at, handler, options);
  await within(Promise.all([primary.ready(), backup.ready()]), "it is decided who serves");
  return { primary, backup };
}

const client = (): BinaryStarClient => ask(at, 12_000);

test("a client that asks and never reads holds nobody up, and what it has in the server has a bound", async () => {
  // More than are asked: none is refused for that.
  const { primary } = await pair(() => [Buffer.alloc(20_000)], { maxInFlight: 10_000 });
  const slow = keep(new Dealer({ receiveHighWaterMark: 1, linger: 0 }));
  slow.connect(at.primary.clients);
  await slow.ready({ timeout: 8_000 });
  for (let i = 0; i < 5_000; i++) await slow.send(["", String(i)]);
  await until(() => primary.stats().received > 2_000, "most of the requests");
  expect((await within(client().request("x"), "another client's reply"))[0]).toHaveLength(20_000);
  await until(() => primary.stats().inFlight === 0, "nothing is in flight");
  const { replied, failed, repliesDropped, served } = primary.stats();
  expect(repliesDropped.unroutable).toBeGreaterThan(0);
  // One that was held up for long may have doubted its state meanwhile.
  const ended = replied + failed + repliesDropped.unroutable + repliesDropped.notServing;
  expect(ended).toBeGreaterThanOrEqual(served);
  const from = performance.now();
  await primary.close({ linger: 100 });
  expect(performance.now() - from).toBeLessThan(5_000);
});

test("what is not a request is counted, and the next one is answered", async () => {
  const { primary, backup } = await pair((body) => body);
  const rude = keep(new Dealer({ linger: 0 }));
  rude.connect(at.primary.clients);
  // Without a body, and without an envelope as DEALERs of its own kind send it: those are requests.
  for (const message of [[""], ["", ""], ["a", "b"], ["x"], [Buffer.alloc(300_000)], ["", "last"]])
    await rude.send(message as string[]);
  const replies: (string | number)[] = [];
  while (replies.at(-1) !== "last") {
    const [last] = (await within(rude.receive(), "a reply")).slice(-1);
    replies.push((last as Buffer).length > 10 ? (last as Buffer).length : String(last));
  }
  expect(primary.stats()).toMatchObject({ received: 6, inFlight: 0, failed: 0 });
  expect(primary.stats().invalid + primary.stats().replied).toBe(6);
  expect(replies).toEqual(["", "b", "x", 300_000, "last"]);
  expect(backup.stats().received).toBe(0);
});

test("requests past maxInFlight are refused as overloaded, each with a reply", async () => {
  const { handler, open: finish } = held();
  const primary = await serve("primary", at, handler, { maxInFlight: 5 });
  await serve("backup", at, handler);
  await within(primary.ready(), "it serves");
  const calls = Array.from({ length: 8 }, (_, i) =>
    client().request(String(i), { timeout: 8_000, attemptTimeout: 8_000 }),
  );
  const settled = Promise.allSettled(calls);
  await until(() => primary.stats().failed === 3, "three are refused");
  finish();
  const refused = (await settled).filter((result) => result.status === "rejected");
  expect(refused.map(({ reason }) => reason.reason)).toEqual(Array(3).fill("overloaded"));
  expect(primary.stats()).toMatchObject({ replied: 5, failed: 3, inFlight: 0 });
});

test("every call is answered while both stop, one after the other, and come back in the other order", async () => {
  const handler: RequestHandler<Raw> = (body) => new Promise((resolve) => setTimeout(resolve, 5, body));
  const { primary, backup } = await pair(handler);
  let running = true;
  let answered = 0;
  // Clients that ask one call after the other.
  const lanes = Array.from({ length: 10 }, async (_, lane) => {
    const own = client();
    for (let i = 0; running; i++) {
      const [reply] = await own.request(`${lane}-${i}`);
      expect(String(reply)).toBe(`${lane}-${i}`);
      answered += 1;
    }
  });
  await primary.close({ linger: 0 });
  await until(() => backup.star.state === "active", "the backup serves");
  await backup.close({ linger: 0 });
  const again = await serve("primary", at, handler);
  const other = await serve("backup", at, handler);
  await within(Promise.all([again.ready(), other.ready()]), "it is decided who serves");
  running = false;
  await within(Promise.all(lanes), "the last replies");
  expect(answered).toBeGreaterThan(0);
  expect([again.star.state, other.star.state]).toEqual(["active", "passive"]);
});

test("two servers of one role serve nobody, and both report it", async () => {
  const one = await serve("primary", at, (body) => body);
  const two = await serve("backup", at, (body) => body, { as: "primary" });
  const reported = [one, two].map((server) =>
    within(new Promise((resolve) => server.events.on("peer:misconfigured", resolve)), "the report"),
  );
  expect(await Promise.all(reported)).toMatchObject([{ role: "primary" }, { role: "primary" }]);
  expect((await failure(client().request("x", { timeout: 1_500 }))).code).toBe("ETIMEDOUT");
  expect([one.stats().replied, two.stats().replied]).toEqual([0, 0]);
});

// With 400 ms several of its requests wait for the fail-over, and are answered together.
test.skipIf(missing("pyzmq")).each([HEARTBEAT, 400])(
  "a REQ of pyzmq is served through a fail-over, with heartbeats of %i ms",
  async (heartbeatInterval) => {
    const { primary, backup } = await pair(([body]) => `got ${body}`, { heartbeatInterval });
    const python = pythonIn(keep)("patient_req.py", ...ROLES.map((role) => at[role].clients));
    await python.heard("ready");
    for (let i = 0; i < 8; i++) {
      if (i === 4) await primary.close({ linger: 0 });
      python.tell(`${i}`);
      await python.heard(`got ${i}`);
    }
    expect(backup.star.state).toBe("active");
  },
);
