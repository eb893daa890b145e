/** The queue's and the worker's rules one by one: the Guide's bugs by name. */
import { describe, expect, it } from "vitest";
import { type PirateQueueEvent, QueueRules } from "../../../src/patterns/pirate/queue.js";
import { WorkerRules, workerCounts } from "../../../src/patterns/pirate/worker-rules.js";

const OPTIONS = {
  heartbeatInterval: 1_000,
  liveness: 3,
  maxQueue: 10,
  maxQueueBytes: 1_000_000,
  maxDeliveries: 2,
};
const READY = [Buffer.from([1])];
const BEAT = [Buffer.from([2])];
const EMPTY = Buffer.alloc(0);

function queueOf(onEvent: (event: PirateQueueEvent) => void = () => undefined) {
  const log: string[] = [];
  const events: PirateQueueEvent["type"][] = [];
  const gone = new Set<string>();
  const name = (id: Buffer): string => id.toString("latin1");
  const rules = new QueueRules(
    OPTIONS,
    {
      toWorker: ([id, ...frames]) => {
        const worker = name(id as Buffer);
        if (gone.has(worker)) return false;
        const [address, , ...body] = frames as [Buffer, ...Buffer[]];
        log.push(frames.length === 1 ? `beat ${worker}` : `${worker}<${name(address)}:${body.join()}`);
        return true;
      },
      toClient: ([client, , ...body]) => log.push(`${client}<=${body.join()}`),
      event: (event) => {
        events.push(event.type);
        onEvent(event);
      },
    },
    0,
  );
  return {
    rules,
    events,
    gone,
    worker: (id: string, frames = READY, now = 0) =>
      rules.workerMessage(Buffer.from(id, "latin1"), frames, now),
    client: (id: string, body: string, now = 0) =>
      rules.clientMessage([Buffer.from(id), EMPTY, Buffer.from(body)], now),
    reply: (id: string, address: string, body: string, now = 0) =>
      rules.workerMessage(Buffer.from(id, "latin1"), [Buffer.from(address), EMPTY, Buffer.from(body)], now),
    said: () => log.splice(0),
  };
}

describe("a queue", () => {
  it("has a lost worker's request to serve, when a listener to that asks", () => {
    const pending: number[] = [];
    const queue = queueOf(({ type }) => {
      if (type === "worker:left") pending.push(queue.rules.pending);
    });
    queue.worker("w");
    queue.worker("x");
    queue.client("a", "1");
    queue.rules.workerLeft(Buffer.from("w"), 0);
    expect(pending).toEqual([1]);
    expect(queue.said()).toEqual(["w<a:1", "x<a:1"]);
  });

  it("sends no heartbeats, and no request, to a worker that is dead", () => {
    const queue = queueOf();
    queue.worker("dead");
    queue.worker("alive");
    queue.worker("alive", BEAT, 2_500);
    queue.rules.tick(3_000);
    expect(queue.said()).toEqual(["beat alive"]);
    queue.worker("late", READY, 3_100);
    queue.client("a", "1", 6_050); // Before a tick: "alive" has been silent for too long by now.
    expect(queue.said()).toEqual(["late<a:1"]);
  });

  it("keeps workers apart by their bytes, not by their text", () => {
    const queue = queueOf();
    queue.worker("\x00\xff\xfe");
    queue.worker("\x00\xff\xfd");
    expect(queue.rules.stats().idleWorkers).toBe(2);
  });

  it("buries many at once, while it goes through them", () => {
    const queue = queueOf();
    for (let i = 0; i < 100; i++) queue.worker(`w${i}`, READY, i % 2 === 0 ? 0 : 1_000);
    queue.rules.tick(3_500);
    expect(queue.rules.stats()).toMatchObject({ idleWorkers: 50, workersLost: 50 });
    expect(queue.said()).toHaveLength(50);
  });

  it("does not send a late reply to the client that asked last", () => {
    const queue = queueOf();
    queue.worker("w");
    queue.client("a", "1");
    queue.worker("w"); // It began again: its request goes to itself, as the only worker.
    queue.reply("w", "z", "of another life");
    expect(queue.said()).toEqual(["w<a:1", "w<a:1"]);
    queue.reply("w", "a", "one");
    queue.reply("w", "a", "one again");
    expect(queue.said()).toEqual(["a<=one"]);
    expect(queue.rules.stats()).toMatchObject({ lateReplies: 2, replies: 1 });
  });

  it("registers a worker by its heartbeat after a restart, and one that replies to the queue before it", () => {
    const queue = queueOf();
    queue.worker("w", BEAT);
    queue.reply("v", "old", "late");
    expect(queue.rules.stats()).toMatchObject({ idleWorkers: 2, lateReplies: 1 });
    expect(queue.said()).toEqual([]);
  });

  it("tries the next worker when one cannot be reached, and counts that as no delivery", () => {
    const queue = queueOf();
    for (const id of ["a", "b", "c"]) queue.worker(id);
    queue.gone.add("a").add("b");
    queue.client("x", "1");
    queue.client("y", "2");
    expect(queue.said()).toEqual(["c<x:1"]);
    expect(queue.rules.stats()).toMatchObject({ workersLost: 2, idleWorkers: 0, busyWorkers: 1 });
    queue.rules.workerLeft(Buffer.from("c"), 1);
    queue.worker("d");
    expect(queue.said()).toEqual(["d<x:1"]);
  });

  it("sends an error to a client once maxDeliveries workers with its request were lost", () => {
    const queue = queueOf();
    for (const id of ["a", "b", "c"]) queue.worker(id);
    queue.client("x", "1");
    queue.rules.workerLeft(Buffer.from("a"), 1);
    queue.rules.workerLeft(Buffer.from("b"), 2);
    expect(queue.said()).toEqual(["a<x:1", "b<x:1", expect.stringMatching(/^x<=shoal\.error,worker-lost,/)]);
    expect(queue.rules.stats().dropped).toEqual({ "client-left": 0, deliveries: 1, closed: 0 });
    expect(queue.events.filter((type) => type === "request:repeated")).toHaveLength(1);
    expect(queue.rules.stats()).toMatchObject({ repeated: 1, workersLost: 2 });
  });
});

/** @param random for the jitter */
function workerOf(random = 1) {
  const log: string[] = [];
  const counts = workerCounts();
  const rules: WorkerRules = new WorkerRules(
    {
      dialect: "paranoid",
      heartbeatInterval: 1_000,
      liveness: 3,
      reconnectInterval: 1_000,
      reconnectMaxInterval: 4_000,
    },
    {
      open: () => log.push("open"),
      abandon: () => log.push("abandon"),
      ready: () => log.push("ready"),
      heartbeat: () => log.push("beat"),
      handle: () => log.push("handle"),
      reply: () => log.push("reply"),
      event: (event) => event.type === "queue:lost" && log.push(`wait ${event.delay}`),
    },
    () => random,
    counts,
  );
  rules.start(0);
  return { rules, counts, said: () => log.splice(0) };
}

const REQUEST = { kind: "request", address: Buffer.from("c"), body: [Buffer.from("x")] } as const;

describe("a worker", () => {
  it("drops a second request while it works, and does not beat then", () => {
    const { rules, counts, said } = workerOf();
    rules.receive(REQUEST, 1);
    rules.receive(REQUEST, 2);
    rules.tick(1_000);
    rules.finished(Buffer.from("c"), [Buffer.from("y")], 1_001);
    expect(said()).toEqual(["open", "ready", "handle", "reply"]);
    expect(counts).toMatchObject({ requests: 1, replies: 1, dropped: 1 });
  });

  it("gives a silent queue up, waits longer each time, and starts again from the first wait when it is heard", () => {
    const { rules, said } = workerOf();
    said();
    let now = 0;
    const silence = (): string[] => {
      now += 3_000;
      rules.tick(now);
      now = rules.nextWakeUp() as number;
      rules.tick(now);
      return said();
    };
    for (const wait of [1_000, 2_000, 4_000, 4_000]) {
      expect(silence()).toEqual(["abandon", `wait ${wait}`, "open", "ready"]);
    }
    rules.receive({ kind: "heartbeat" }, now);
    expect(silence()).toEqual(["abandon", "wait 1000", "open", "ready"]);
  });

  it("says one thing first on a new connection, by which a restarted queue gives it a request", () => {
    const { rules, said } = workerOf();
    rules.connected(1);
    rules.receive(REQUEST, 2);
    rules.disconnected();
    rules.finished(REQUEST.address, [], 3);
    rules.tick(2_000);
    rules.connected(2_001);
    expect(said()).toEqual(["open", "ready", "handle", "reply"]);
    rules.disconnected();
    rules.tick(4_000);
    rules.connected(4_001);
    expect(said()).toEqual(["ready"]);
  });
});
