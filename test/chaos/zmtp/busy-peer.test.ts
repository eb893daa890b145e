/** Peers that are silent for a while: busy, stopped, or their queue full. What counts is `heartbeatTimeout`. */
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { nextEvent, until } from "../../contract/support/wait.js";
import { World } from "../../contract/support/world.js";
import { Child, start } from "../../process/child.js";
import { LONG } from "../../support/long.js";
import { missing, peerAt } from "../../support/peers.js";

const world = new World("zmtp", "tcp");
/** For its certificates. */
const secured = new World("zmtp", "wss");
const INTERVAL = 100;
/** What a peer does other things for, in ms. */
const BUSY = 10 * INTERVAL;
/** What a sender waits for it, in ms. */
const PATIENCE = 100 * INTERVAL;

function own(child: Child): Child {
  onTestFinished(async () => void (child.running && (await child.kill())));
  return child;
}

/** All of them at once: each waits for the same times. An error says whose it is. */
async function each<T>(cases: readonly T[], run: (one: T) => Promise<void>): Promise<void> {
  const settled = await Promise.allSettled(cases.map(run));
  for (const [at, { reason }] of (settled as PromiseRejectedResult[]).entries())
    if (reason !== undefined) throw new Error(`${cases[at]}: ${reason}`, { cause: reason });
}

const SHOAL_WORKER = `
  import { Context, Dealer, Pull } from "shoal";
  const [type, endpoint, count, busy] = process.argv.slice(1);
  const context = new Context({ engine: "zmtp" });
  const worker = new { Dealer, Pull }[type]({ context, heartbeatInterval: ${INTERVAL} });
  worker.connect(endpoint);
  for (let number = 0; number < Number(count); number++) {
    const [first] = await worker.receive({ timeout: 10_000 });
    if (first.toString() !== String(number)) throw new Error(first + " is not " + number);
    if (number > 0) continue;
    console.log("busy");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(busy));
  }
  console.log("done");
  await worker.close();
`;

describe("a worker that is busy for less than heartbeatTimeout", () => {
  it.skipIf(missing("pyzmq"))(
    "loses nothing and stays connected, when it is libzmq's PULL or DEALER and the kernel's buffers are full",
    () =>
      each(LONG ? ["PULL", "DEALER"] : ["PULL"], async (type) => {
        const count = 40;
        const sender = (type === "PULL" ? world.push : world.dealer).call(world, {
          heartbeatInterval: INTERVAL,
          heartbeatTimeout: PATIENCE,
        });
        const endpoint = await world.bind(sender);
        const left = watchLeave(sender);
        const args = [
          join(import.meta.dirname, "peers/busy_worker.py"),
          type,
          endpoint,
          String(count),
          String(BUSY),
        ];
        const worker = own(new Child(peerAt("pyzmq"), args));
        const body = Buffer.alloc(1_000_000);
        const sending = (async () => {
          for (let number = 0; number < count; number++) await sender.send([String(number), body]);
        })();
        expect([await worker.line(), await worker.line()]).toEqual(["busy", "done"]);
        await sending;
        expect(left()).toEqual([]);
        expect((await worker.outcome).code).toBe(0);
      }),
  );

  it("loses nothing and stays connected, when it is shoal's Pull or Dealer", () =>
    each(LONG ? ["Pull", "Dealer"] : ["Dealer"], async (type) => {
      const count = 2_000;
      const sender = (type === "Pull" ? world.push : world.dealer).call(world, {
        heartbeatInterval: INTERVAL,
        heartbeatTimeout: PATIENCE,
      });
      const endpoint = await world.bind(sender);
      const left = watchLeave(sender);
      const worker = own(start(SHOAL_WORKER, { args: [type, endpoint, String(count), String(BUSY)] }));
      for (let number = 0; number < count; number++) await sender.send(String(number));
      expect([await worker.line(), await worker.line()]).toEqual(["busy", "done"]);
      expect(left()).toEqual([]);
      expect((await worker.outcome).code).toBe(0);
    }));
});

/** @returns the reasons of the peers that left before the whole work was done */
function watchLeave(sender: ReturnType<World["push"]> | ReturnType<World["dealer"]>): () => string[] {
  const reasons: string[] = [];
  sender.events.on("peer:leave", ({ reason }) => {
    if (reason === "heartbeat") reasons.push(reason);
  });
  return () => reasons;
}

describe("a process that is stopped", () => {
  const ECHO = `
    import { Context, Router } from "shoal";
    const [endpoint, certificates] = process.argv.slice(1);
    const router = new Router({ context: new Context({ engine: "zmtp" }), heartbeatInterval: 0, ...JSON.parse(certificates) });
    await router.bind(endpoint);
    console.log(router.lastEndpoint);
    for await (const message of router) await router.send(message);
  `;

  const ENDPOINTS = [
    "tcp://127.0.0.1:*",
    "ipc://*",
    ...["tls", "ws", "wss"].map((each) => `${each}://127.0.0.1:*`),
  ].slice(0, LONG ? undefined : 1);

  /** Options of sockets at an endpoint. */
  const certificatesOf = (endpoint: string) =>
    /^(?:tls|wss):/.test(endpoint) ? secured.transportOptions : {};

  it("keeps its connection up to heartbeatTimeout, and loses it then, over each transport", () =>
    each(ENDPOINTS, async (endpoint) => {
      const certificates = certificatesOf(endpoint);
      const child = own(start(ECHO, { args: [endpoint, JSON.stringify(certificates)] }));
      const target = await child.line();
      const options = {
        ...certificates,
        heartbeatInterval: INTERVAL,
        reconnectInterval: 5,
        receiveTimeout: 8_000,
      };
      const patient = world.dealer({ ...options, heartbeatTimeout: PATIENCE });
      const strict = world.dealer(options);
      const strictest = world.dealer({ ...options, heartbeatTimeout: INTERVAL });
      // A PING may be on its way when the process stops, but none from before the last answer.
      let asked = 0;
      for (const dealer of [patient, strictest, strict]) {
        dealer.connect(target);
        asked = performance.now();
        await dealer.send("there?");
        expect(String(await dealer.receive())).toBe("there?");
      }
      const first = nextEvent(strictest, "disconnect");
      const second = nextEvent(strict, "disconnect");
      child.process.kill("SIGSTOP");
      expect((await first).reason).toBe("heartbeat");
      expect(strict.stats().peers).toBe(1);
      expect((await second).reason).toBe("heartbeat");
      expect(performance.now() - asked).toBeGreaterThan(6 * INTERVAL);
      await patient.send("still there?");
      expect(patient.stats()).toMatchObject({ peers: 1, reconnects: 0 });
      child.process.kill("SIGCONT");
      expect(String(await patient.receive())).toBe("still there?");
      await until(() => strict.stats().peers === 1, "the reconnect of the other");
      expect(patient.stats()).toMatchObject({ peers: 1, reconnects: 0 });
    }));

  it("in the middle of a handshake is waited for no longer than handshakeInterval, and is connected to when it goes on, over each transport", () =>
    each(ENDPOINTS, async (endpoint) => {
      const certificates = certificatesOf(endpoint);
      const child = own(start(ECHO, { args: [endpoint, JSON.stringify(certificates)] }));
      const target = await child.line();
      const dealer = world.dealer({
        ...certificates,
        handshakeInterval: 5 * INTERVAL,
        reconnectInterval: 5,
        receiveTimeout: 8_000,
      });
      const late = nextEvent(dealer, "handshake:error:other");
      child.process.kill("SIGSTOP");
      dealer.connect(target);
      expect((await late).error.message).toContain(`within ${5 * INTERVAL} ms`);
      expect(dealer.stats().peers).toBe(0);
      child.process.kill("SIGCONT");
      // One attempt may have to be given up on a busy machine: its time is short.
      await dealer.send("there?");
      expect(String(await dealer.receive())).toBe("there?");
    }));
});
