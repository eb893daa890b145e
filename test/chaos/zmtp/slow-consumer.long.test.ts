/** A consumer that is slower than its sender, for a minute: nobody's memory grows. */
import { afterAll, describe, expect, it } from "vitest";
import { type Child, start } from "../../process/child.js";

const SECONDS = 60;
const MIB = 1_048_576;
const SIZE = 1_000;
/** Default high-water marks of both sides. */
const MARK = 1_000;

const children: Child[] = [];
// The tests run side by side: none may end another's.
afterAll(async () => {
  await Promise.all(children.splice(0).map((child) => (child.running ? child.kill() : undefined)));
});

function program(source: string, ...args: string[]): Child {
  const child = start(source, { args, limit: (SECONDS + 15) * 1_000, node: ["--expose-gc"] });
  children.push(child);
  return child;
}

const SAMPLE = `
  const samples = [];
  const sample = () => {
    globalThis.gc();
    const { heapUsed, external } = process.memoryUsage();
    samples.push(heapUsed + external);
  };
`;

/** Takes a message in each millisecond or so, and prints how its memory went when it is asked. */
const SLOW = `
  import { Context, Dealer, Pull, Subscriber } from "shoal";
  const [type, endpoint, seconds] = process.argv.slice(1);
  const socket = new { Dealer, Pull, Subscriber }[type]({ context: new Context({ engine: "zmtp" }) });
  socket.subscribe?.();
  socket.connect(endpoint);
  if (type === "Dealer") await socket.send("here I am");
  ${SAMPLE}
  const end = performance.now() + seconds * 1_000;
  let next = 0;
  let received = 0;
  while (performance.now() < end) {
    await socket.receive({ timeout: 10_000 });
    received += 1;
    await new Promise((resolve) => setTimeout(resolve, 1));
    if (performance.now() < next) continue;
    next = performance.now() + 200;
    sample();
  }
  console.log(JSON.stringify({ samples, received, stats: socket.stats() }));
  await socket.close({ linger: 0 });
`;

/** The sender's samples, at least, however seldom a busy machine gives it a turn. */
const ENOUGH = 11;

/** Sends as fast as it may. */
const FAST = `
  import { Context, Publisher, Push, Router } from "shoal";
  const [type, seconds] = process.argv.slice(1);
  const socket = new { Publisher, Push, Router }[type]({ context: new Context({ engine: "zmtp" }), linger: 0, sendTimeout: 100 });
  await socket.bind("tcp://127.0.0.1:*");
  console.log(socket.lastEndpoint);
  const [id] = type === "Router" ? await socket.receive() : [];
  // Without a number of peers a socket that is bound is ready at once.
  await (socket.waitForSubscribers?.() ?? socket.ready({ peers: 1 }));
  ${SAMPLE}
  const end = performance.now() + seconds * 1_000;
  let next = performance.now() + 500;
  let sends = 0;
  while (performance.now() < end || samples.length < ${ENOUGH}) {
    const body = Buffer.alloc(${SIZE});
    sends += 1;
    try {
      await socket.send(id === undefined ? body : [id, body]);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
    if (performance.now() < next) continue;
    next += 200;
    sample();
  }
  console.log(JSON.stringify({ samples, sends, stats: socket.stats() }));
  // What is queued would be dropped, and the receiver may still wait for a message.
  for await (const _ of process.stdin);
  await socket.close();
`;

/** The highest sample, beyond the first. */
function peak(samples: readonly number[]): number {
  return Math.max(...samples) - (samples[0] as number);
}

/** From the middle of the first half's samples to that of the second's. */
function growth(samples: readonly number[]): number {
  const half = samples.length >> 1;
  return median(samples.slice(half)) - median(samples.slice(0, half));
}

function median(samples: readonly number[]): number {
  return [...samples].sort((a, b) => a - b)[samples.length >> 1] as number;
}

describe("a slow consumer", () => {
  it.concurrent.each([
    ["Push", "Pull"],
    ["Publisher", "Subscriber"],
    ["Router", "Dealer"],
  ])(
    `of a %s at full rate for ${SECONDS} s makes nobody's memory grow (%s)`,
    async (fast, slow) => {
      const sender = program(FAST, fast, String(SECONDS));
      const receiver = program(SLOW, slow, await sender.line(), String(SECONDS));
      const [sent, got] = await Promise.all([sender.line(), receiver.line()]).then((lines) =>
        lines.map((line) => JSON.parse(line)),
      );
      sender.process.stdin?.end();
      expect(sent.samples.length).toBeGreaterThanOrEqual(ENOUGH);
      // Messages up to the high-water mark, what is in flight, and a turn's garbage, which a sample may come upon.
      const bound = MARK * SIZE + 262_144 + 12 * MIB;
      for (const { samples } of [sent, got]) {
        expect(peak(samples), JSON.stringify(samples)).toBeLessThan(bound);
        expect(growth(samples), JSON.stringify(samples)).toBeLessThan(6 * MIB); // A leak would be of as much a second.
      }
      expect(got.received).toBeGreaterThan(100);
      // A chunk of 64 KiB may come on top of the mark.
      expect(got.stats.receiveQueued).toBeLessThan(MARK + 65_536 / SIZE + 1);
      const { stats } = sent;
      if (fast !== "Publisher") {
        expect(stats.queued).toBeLessThanOrEqual(MARK + 1);
        const dropped = Object.values(stats.dropped as Record<string, number>).reduce((sum, n) => sum + n, 0);
        expect(stats.sent).toBe(stats.delivered + stats.queued + dropped);
        expect(stats.sent + 1).toBeGreaterThanOrEqual(got.received);
      } else {
        expect(stats.copies.queued).toBeLessThanOrEqual(MARK);
        expect(stats.copies.dropped).toBeGreaterThan(0);
      }
    },
    (SECONDS + 20) * 1_000,
  );
});
