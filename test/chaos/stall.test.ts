/** Peers that are slow, or that stop without closing anything. */
import { afterEach, describe, expect, it } from "vitest";
import { Dealer, type DealerOptions, type Socket } from "../../src/index.js";
import { type Child, start } from "../process/child.js";
import { LONG } from "../support/long.js";

const sockets: Socket[] = [];
const children: Child[] = [];

function program(source: string, ...args: string[]): Child {
  const child = start(source, { args, limit: 30_000, node: ["--expose-gc"] });
  children.push(child);
  return child;
}

afterEach(async () => {
  await Promise.all(sockets.splice(0).map((socket) => socket.close({ linger: 0 })));
  await Promise.all(children.splice(0).map((child) => (child.running ? child.kill() : undefined)));
});

const MIB = 1_048_576;
const SIZE = 10_000;

/** Reads a message in ten milliseconds: no match for any sender. */
const SLOW = `
  import { Pull, Subscriber } from "shoal";
  const socket = process.argv[1] === "Pull" ? new Pull() : new Subscriber();
  socket.subscribe?.();
  socket.connect(process.argv[2]);
  for await (const _ of socket) await new Promise((resolve) => setTimeout(resolve, 10));
`;

/** Half a second of warming up, and as many samples as a test looks at, in between. */
const [SECONDS, BETWEEN] = LONG ? [3, 250] : [1.5, 100];

/** Sends as fast as it may, and says how its memory went. */
const FAST = `
  import { Push, Publisher } from "shoal";
  const socket = process.argv[1] === "Push" ? new Push({ linger: 0, sendTimeout: 100 }) : new Publisher({ linger: 0 });
  await socket.bind("tcp://127.0.0.1:*");
  console.log(socket.lastEndpoint);
  await (socket.waitForSubscribers?.() ?? socket.ready());
  const samples = [];
  const sample = () => { globalThis.gc(); samples.push(process.memoryUsage().rss); };
  const end = performance.now() + ${SECONDS * 1_000};
  let next = performance.now() + 500;
  let pending = 0;
  while (performance.now() < end) {
    await socket.send(Buffer.alloc(${SIZE})).catch((error) => { if (error.code !== "EAGAIN") throw error; });
    pending = Math.max(pending, socket.stats().pendingSends);
    if (performance.now() < next) continue;
    next += ${BETWEEN};
    sample();
  }
  console.log(JSON.stringify({ samples, pending, stats: socket.stats() }));
  await socket.close();
`;

describe("a consumer that is slower than its sender", () => {
  it.each([
    ["Push", "Pull"],
    ["Publisher", "Subscriber"],
  ])("does not make a %s's memory grow beyond its high-water mark", async (fast, slow) => {
    const sender = program(FAST, fast);
    const endpoint = await sender.line();
    program(SLOW, slow, endpoint);
    const { samples, pending, stats } = JSON.parse(await sender.line());
    // 1,000 messages may wait; the rest is the allocator's and the compiler's.
    const bound = 1_000 * SIZE + 32 * MIB;
    expect(samples.length).toBeGreaterThan(5);
    expect(Math.max(...samples) - samples[0], JSON.stringify(samples)).toBeLessThan(bound);
    expect(stats.queued).toBeLessThanOrEqual(1_000);
    expect(pending).toBeLessThanOrEqual(1);
    expect(stats.sent).toBe(stats.delivered + stats.queued + stats.dropped.timeout);
  });
});

describe("a process that stops without a word", () => {
  const INTERVAL = 250;
  const SILENCE = 1_000;
  /** What a busy machine may add to a timer and an event. */
  const SLACK = 400;
  const ECHO = `
    import { Router } from "shoal";
    const router = new Router({ heartbeatInterval: 0, reconnectInterval: 20 });
    if (process.argv[1] === "bind") await router.bind("tcp://127.0.0.1:*");
    else router.connect(process.argv[2]);
    console.log(router.lastEndpoint);
    for await (const message of router) await router.send(message);
  `;

  function open(options: DealerOptions): Dealer {
    const dealer = new Dealer({
      heartbeatInterval: INTERVAL,
      heartbeatTimeout: SILENCE,
      receiveTimeout: 10_000,
      ...options,
    });
    sockets.push(dealer);
    return dealer;
  }

  it.each([
    "bind",
    "connect",
  ])("is noticed when heartbeatTimeout is over, when it is the one to %s", async (side) => {
    const dealer = open({ reconnectInterval: 20 });
    let child: Child;
    if (side === "bind") {
      child = program(ECHO, "bind");
      dealer.connect(await child.line());
    } else {
      await dealer.bind("tcp://127.0.0.1:*");
      child = program(ECHO, "connect", dealer.lastEndpoint as string);
    }
    await dealer.ready({ peers: 1, timeout: 10_000 });
    await dealer.send("there?");
    expect((await dealer.receive()).map(String)).toEqual(["there?"]);

    const noticed = new Promise((resolve) => dealer.events.once("peer:leave", resolve));
    const stopped = performance.now();
    child.process.kill("SIGSTOP");
    await noticed;
    expect(performance.now() - stopped).toBeGreaterThan(SILENCE);
    expect(performance.now() - stopped).toBeLessThan(INTERVAL + SILENCE + SLACK);
    expect(dealer.stats().peers).toBe(0);

    child.process.kill("SIGCONT");
    await dealer.ready({ peers: 1, timeout: 10_000 });
    await dealer.send("again?");
    expect((await dealer.receive()).map(String)).toEqual(["again?"]);
  });

  it("stays connected while it is idle but alive", async () => {
    const dealer = open({ heartbeatInterval: 100 });
    const child = program(ECHO, "bind");
    dealer.connect(await child.line());
    await dealer.ready({ timeout: 10_000 });
    const left = new Promise((resolve) => dealer.events.once("peer:leave", () => resolve("left")));
    const quiet = new Promise((resolve) => setTimeout(resolve, 1_000, "quiet"));
    expect(await Promise.race([left, quiet])).toBe("quiet");
    expect(dealer.stats()).toMatchObject({ peers: 1, reconnects: 0 });
  });
});
