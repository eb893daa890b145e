/** The pair on real sockets: who serves, who takes over, and what clients see of it. */
import { describe, expect, test } from "vitest";
import { type Clock, systemClock } from "../../../src/core/timers.js";
import { Dealer, json, Publisher } from "../../../src/index.js";
import { BinaryStarClient, BinaryStarServer } from "../../../src/patterns/binary-star/server.js";
import { BinaryStar, type BinaryStarStateName } from "../../../src/patterns/binary-star/star.js";
import { failure, texts, thrown, until, within } from "../../contract/support/wait.js";
import { held } from "../../kit/services.js";
import { start } from "../../process/child.js";
import { blockThread } from "../../support/block.js";
import { gate } from "../../support/gate.js";
import { HEARTBEAT, handOver, starRig } from "./rig.js";

const { keep, ipc, places, serve, ask } = starRig();

/** @returns the event */
function becomes(server: BinaryStarServer, state: BinaryStarStateName): Promise<unknown> {
  const happened = new Promise<unknown>((resolve) =>
    server.events.on("state:changed", (event) => event.state === state && resolve(event)),
  );
  return within(happened, `${state} of a server in state ${server.star.state}`);
}

/** @param clock of the primary */
async function startPair(clock?: Clock) {
  const at = places();
  const primary = await serve("primary", at, undefined, { clock });
  const backup = await serve("backup", at);
  await Promise.all([primary.ready(), backup.ready()]);
  // A primary that was held up since then is in doubt for a heartbeat.
  expect([await primary.star.whenCertain(), backup.star.state]).toEqual([true, "passive"]);
  return { at, primary, backup, client: ask(at) };
}

/** The same, and then the primary's time stands still: it is not held up, nobody is silent, and only what it hears changes it. */
async function startStillPair() {
  let stopped: number | undefined;
  const pair = await startPair({ now: () => stopped ?? systemClock.now() });
  await until(() => {
    stopped = systemClock.now();
    if (pair.primary.star.isServing() && pair.primary.stats().star.peer === "passive") return true;
    stopped = undefined;
    return false;
  }, "the primary serves, and the backup stands by");
  return pair;
}

describe("a pair", () => {
  test("drops a request to the passive server unanswered, and says so", async () => {
    const { at, backup } = await startPair();
    const dealer = keep(new Dealer({ linger: 0 }));
    dealer.connect(at.backup.clients);
    const dropped = new Promise((resolve) => backup.events.on("votes:dropped", resolve));
    await dealer.send(["", "hello"]);
    await within(dropped, "votes:dropped");
    expect(backup.stats()).toMatchObject({
      received: 1,
      served: 0,
      queued: 0,
      dropped: { refused: 1, overflow: 0 },
    });
  });

  test("lets the operator fail back: requests in flight are finished, then the other serves", async () => {
    const { at, primary, backup, client } = await startPair();
    await primary.star.close(); // As if it were killed: no word to anybody.
    await primary.close({ linger: 0 });
    expect(texts(await client.request("1"))).toEqual(["backup 1"]);
    expect(backup.stats().star).toMatchObject({ state: "active", peer: undefined, failOvers: 1 });
    const again = await serve("primary", at);
    await becomes(again, "passive");
    const moved = ask(at);
    const states = Promise.all([becomes(again, "active"), becomes(backup, "passive")]);
    await handOver(backup);
    await states;
    expect(texts(await moved.request("2"))).toEqual(["primary 2"]);
    expect(await failure(backup.handOver())).toMatchObject({ code: "EFSM" });
  });
});

test("a server whose SUB has a timeout hears a peer that comes later", async () => {
  const at = places();
  const subscriberOptions = { receiveTimeout: 0 };
  const options = { role: "primary", peer: at.backup.state, heartbeatInterval: HEARTBEAT } as const;
  const primary = keep(new BinaryStar({ ...options, subscriberOptions }));
  await primary.bind(at.primary.state);
  for (let turns = 0; turns < 5; turns++) await new Promise((resolve) => setTimeout(resolve, 1));
  await serve("backup", at);
  await within(primary.ready(), "the backup's state");
});

test("a server's star may be closed by a listener of the change that the operator asked for", async () => {
  const { primary } = await startStillPair();
  const { star } = primary;
  let closing: Promise<void> | undefined;
  star.events.on("state:changed", () => {
    closing ??= star.close();
  });
  star.handOver();
  expect(star.closed).toBe(true);
  await within(closing as unknown as Promise<void>, "the end");
});

test("two masters are fenced when they hear of each other, not by what is no state, and serve nobody until the operator resolves", async () => {
  const { at, primary, backup, client } = await startStillPair();
  // A rival on the backup's endpoint sends what a second master would send.
  await backup.close({ linger: 0 });
  const rival = keep(new Publisher({ linger: 0 }));
  await rival.bind(at.backup.state);
  await rival.waitForSubscribers({ timeout: 5_000 });
  const { statesSent, ...before } = primary.stats().star;
  for (const junk of ["", "0", "5", "33", "\x03", "3\0", ["3", "3"]]) await rival.send(junk);
  await until(() => primary.stats().star.invalid === 7, "seven invalid states");
  expect(primary.stats().star).toMatchObject({ ...before, state: "active", invalid: 7 });
  const fenced = becomes(primary, "fenced");
  await rival.send("3");
  expect(await fenced).toMatchObject({ state: "fenced", from: "active", reason: "dual-active" });
  expect(primary.star.state).toBe("fenced");
  expect(await failure(client.request("1", { timeout: 700 }))).toMatchObject({ code: "ETIMEDOUT" });
  expect(primary.stats()).toMatchObject({ served: 0, star: { fences: 1 } });
  await rival.send("3");
  await rival.send("4"); // The loser was resolved.
  await until(() => primary.stats().star.peer === "passive", "the peer is passive");
  primary.star.resolve("active");
  expect(texts(await client.request("2"))).toEqual(["primary 2"]);
  expect(thrown(() => primary.star.resolve("active"))).toMatchObject({ code: "EFSM" });
});

describe("a handler", () => {
  test.each([
    1.5, 10,
  ])("that blocks its process for %d heartbeats is waited for, and its reply leaves", async (beats) => {
    const at = places();
    let handled = 0;
    const busy = (body: Buffer[]): string => {
      handled += 1;
      blockThread(beats * HEARTBEAT);
      return String(body);
    };
    const primary = await serve("primary", at, busy);
    const client = ask(at, 100 * HEARTBEAT, 20 * HEARTBEAT);
    for (const word of ["1", "2"]) expect(texts(await client.request(word))).toEqual([word]);
    expect(handled).toBe(2);
    expect(primary.stats()).toMatchObject({ replied: 2, repliesDropped: { notServing: 0, unroutable: 0 } });
    expect(primary.star.term).toBe(1);
  });

  test("that blocks its process does not make the pair change places", async () => {
    const at = places();
    // The backup is in a process of its own, which is not held up.
    const options = { role: "backup", peer: at.primary.state, heartbeatInterval: HEARTBEAT };
    const program = `
      import { BinaryStar } from "shoal/patterns";
      await new BinaryStar(${JSON.stringify(options)}).bind(${JSON.stringify(at.backup.state)});
    `;
    const backup = start(program, { limit: 30_000 });
    keep({ close: () => backup.kill() });
    const primary = await serve("primary", at, (body) => {
      blockThread(1.5 * HEARTBEAT);
      return String(body);
    });
    await until(() => primary.stats().star.peer === "passive", "a pair");
    const client = ask(at, 100 * HEARTBEAT, 20 * HEARTBEAT);
    for (const word of ["1", "2", "3"]) expect(texts(await client.request(word))).toEqual([word]);
    expect([primary.star.term, primary.stats().star.stalls > 0]).toEqual([1, true]);
    expect(primary.stats().star.peer).toBe("passive");
    await backup.kill();
  });

  test("whose server is fenced meanwhile has no reply sent", async () => {
    const at = places();
    const { handler, started, open } = held();
    const starting = serve("primary", at, handler);
    const rival = keep(new Publisher({ linger: 0 }));
    await rival.bind(at.backup.state);
    const dealer = keep(new Dealer({ linger: 0 }));
    await rival.waitForSubscribers({ timeout: 5_000 });
    const primary = await starting;
    dealer.connect(at.primary.clients);
    // A server that was held up itself drops the vote with its request: clients ask again.
    const asking = setInterval(() => dealer.trySend(["", "work"]), HEARTBEAT);
    await within(started, "the handler's begin").finally(() => clearInterval(asking));
    const fenced = becomes(primary, "fenced");
    // For a heartbeat after its take-over it could be the word of a peer in doubt.
    const telling = setInterval(() => rival.trySend("3"), HEARTBEAT / 2);
    await fenced.finally(() => clearInterval(telling));
    open();
    await until(() => primary.stats().repliesDropped.notServing > 0, "a dropped reply");
    expect(primary.stats().replied).toBe(0);
  });
});

describe("a server", () => {
  test("takes and gives values with a codec; a request that it refuses is answered with an error, without its handler", async () => {
    let calls = 0;
    const codec = json<{ n: number }>();
    const handler = ({ n }: { n: number }): { n: number } => {
      calls += 1;
      return { n: n + 1 };
    };
    const star = { role: "primary", peer: ipc(), heartbeatInterval: HEARTBEAT } as const;
    const server = keep(new BinaryStarServer(handler, { star, codec }));
    const endpoint = await server.bind("clients", ipc());
    await server.bind("state", ipc());
    const client = keep(new BinaryStarClient([endpoint, ipc()], { timeout: 8_000 }));
    expect(await failure(client.request("{"))).toMatchObject({ reason: "invalid-request" });
    expect([calls, server.stats().invalid, server.stats().failed]).toEqual([0, 1, 0]);
    const typed = keep(new BinaryStarClient([endpoint, ipc()], { timeout: 8_000, codec }));
    expect(await typed.request({ n: 1 })).toEqual({ n: 2 });
  });

  test("that drains finishes what is in flight and takes nothing new", async () => {
    const { passed: finished, open: finish } = gate();
    const at = places();
    const server = await serve("primary", at, () => finished.then(() => "done"));
    server.star.resolve("active"); // A pause of this process would drop a vote, and a DEALER does not ask again.
    const dealer = keep(new Dealer({ linger: 0 }));
    dealer.connect(at.primary.clients);
    await dealer.send(["", "first"]);
    await until(() => server.stats().inFlight === 1, "it is in flight");
    const drained = server.drain();
    await dealer.send(["", "second"]);
    await until(() => server.stats().dropped.refused === 1, "the second is dropped");
    finish();
    await drained;
    expect(texts(await dealer.receive({ timeout: 5_000 }))).toEqual(["", "done"]);
    expect(await failure(server.bind("clients", ipc()))).toMatchObject({ code: "EAGAIN" });
    await server.close();
    expect(await failure(server.ready())).toMatchObject({ code: "EBADF" });
    expect(server.closed).toBe(true);
  });

  test("is ready when it is decided who serves, not before", async () => {
    const at = places();
    const backup = await serve("backup", at);
    expect(await failure(backup.ready({ timeout: 50 }))).toMatchObject({ code: "ETIMEDOUT" });
    const primary = await serve("primary", at);
    await Promise.all([primary.ready(), backup.ready()]);
    expect([primary.star.state, backup.star.state]).toEqual(["active", "passive"]);
    expect(await failure(primary.bind("state", ipc()))).toMatchObject({ code: "EFSM" });
    expect(await failure(primary.bind("client" as never, ipc()))).toMatchObject({ code: "EINVAL" });
    expect(primary.endpoints).toEqual({ clients: [at.primary.clients], state: [at.primary.state] });
  });
});
