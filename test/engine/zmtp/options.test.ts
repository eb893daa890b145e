/** What options do on real sockets, where the contract of all engines does not reach. */
import { describe, expect, it, vi } from "vitest";
import { Radio } from "../../../src/sockets/draft/index.js";
import { collect, failure, nextEvent, turn, until, within } from "../../contract/support/wait.js";
import { World } from "../../contract/support/world.js";
import { greeting, type RawPeer, ready } from "../../contract/support/zmtp-peer.js";
import { fill, mutePull, RawServer, shaken } from "./support/raw-server.js";

const world = new World("zmtp", "tcp");

describe("connecting", () => {
  it("reconnectInterval -1 makes no second attempt, after a failure as after a loss", async () => {
    const push = world.push({ reconnectInterval: -1 });
    let retries = 0;
    push.events.on("connect:retry", () => void retries++);
    const pull = world.pull();
    const endpoint = await world.link(pull, push);
    await push.ready({ timeout: 4_000 });
    const left = nextEvent(push, "peer:leave");
    await pull.close({ linger: 0 });
    await left;
    const again = world.pull();
    await again.bind(endpoint);
    // A time that is long for what could happen and short for what must not.
    await failure(within(new Promise((resolve) => push.events.once("connect", resolve)), "connect", 60));
    expect([retries, push.stats().peers, again.stats().peers]).toEqual([0, 0, 0]);
  });

  it("reconnectInterval -1 drops what was queued for an endpoint, and close does not wait for it", async () => {
    const push = world.push({ reconnectInterval: -1, sendHighWaterMark: 1 });
    const dropped = nextEvent(push, "drop");
    const failed = nextEvent(push, "disconnect");
    push.connect(world.deadEndpoint());
    await push.send("queued");
    const waiting = failure(push.send("waiting"));
    expect(await dropped).toMatchObject({ reason: "disconnected", messages: 1 });
    expect((await failed).error).toMatchObject({ code: "ECONNREFUSED" });
    expect(push.trySend("x")).toBe(false);
    expect(await push.close()).toEqual({ flushed: 0, discarded: 1, unknown: 0 });
    expect(await waiting).toMatchObject({ code: "EAGAIN" });
  });

  it("reconnectInterval -1 ends a wait for the peer with the error of the only attempt", async () => {
    const push = world.connect(world.push({ reconnectInterval: -1 }), world.deadEndpoint());
    expect(await failure(push.ready())).toMatchObject({ code: "ECONNREFUSED" });
  });

  it("the interval grows with failures to its maximum, and starts again after a handshake", async () => {
    const push = world.push({ reconnectInterval: 2, reconnectMaxInterval: 8 });
    const intervals: number[] = [];
    push.events.on("connect:retry", ({ interval }) => intervals.push(interval));
    const pull = world.pull();
    const endpoint = await world.bind(pull);
    await pull.close();
    push.connect(endpoint);
    await until(() => intervals.length >= 5, "five attempts");
    for (const [i, interval] of intervals.slice(0, 5).entries()) {
      const base = Math.min(8, 2 * 2 ** i);
      expect(interval).toBeGreaterThanOrEqual(base);
      expect(interval).toBeLessThanOrEqual(Math.ceil(base * 1.5));
    }
    const server = world.pull();
    await server.bind(endpoint);
    await push.ready({ timeout: 4_000 });
    const before = intervals.length;
    await server.close({ linger: 0 });
    await until(() => intervals.length > before, "another attempt");
    expect(intervals[before]).toBeLessThanOrEqual(3);
  });

  it("immediate: a peer that leaves takes its queue along, counted; without peers a send waits", async () => {
    const push = world.push({ immediate: true, reconnectInterval: 5, sendHighWaterMark: 3 });
    const endpoint = "tcp://127.0.0.1:1";
    push.connect(endpoint);
    expect(push.trySend("nobody is there")).toBe(false);
    const server = new RawServer(mutePull);
    push.connect(await server.listen(world));
    await push.ready({ peers: 1, timeout: 4_000 });
    await fill(push, 1_000_000);
    const { queued } = push.stats();
    expect(queued).toBeGreaterThan(0);
    const dropped = nextEvent(push, "peer:leave");
    server.end();
    await dropped;
    await until(() => push.stats().queued === 0, "an empty queue");
    expect(push.stats().dropped.disconnected).toBe(queued);
    expect(push.trySend("nobody is there again")).toBe(false);
  });
});

describe("peers that leave", () => {
  it("are reported with their routing id, and with the reason: local, remote, protocol, heartbeat", async () => {
    const router = world.router({ heartbeatInterval: 20, heartbeatTimeout: 40 });
    const endpoint = await world.bind(router);
    const nextLeave = () => nextEvent(router, "peer:leave");

    const dealer = world.connect(world.dealer({ routingId: "remote" }), endpoint);
    await dealer.send("x");
    await collect(router, 1);
    let left = nextLeave();
    dealer.disconnect(endpoint);
    expect(await left).toMatchObject({
      reason: "remote",
      routingId: Buffer.from("remote"),
      address: endpoint,
    });

    const raw = async (): Promise<RawPeer> => {
      const joined = nextEvent(router, "peer:join");
      const peer = await shaken(world, endpoint, "DEALER");
      expect((await joined).routingId).toHaveLength(5);
      return peer;
    };
    const breaker = await raw();
    left = nextLeave();
    breaker.write(Buffer.of(0xf0, 0));
    expect((await left).reason).toBe("protocol");

    left = nextLeave();
    await raw();
    expect(await left).toMatchObject({ reason: "heartbeat", routingId: expect.anything() });

    left = nextLeave();
    const revoked = await raw();
    expect(router.revoke(({ address }) => address === "127.0.0.1")).toBe(1);
    expect((await left).reason).toBe("local");
    await within(revoked.closed, "the revoked peer's end");
  });

  it("a peer that reads nothing does not keep a lingering socket forever: its heartbeats end it", async () => {
    const options = { heartbeatInterval: 100, heartbeatTimeout: 500 };
    const push = world.push({ ...options, sendHighWaterMark: 4 });
    const endpoint = await world.bind(push);
    const peer = await world.raw(endpoint);
    peer.write(greeting(), ready("PULL"));
    await push.ready({ peers: 1 });
    peer.socket.pause();
    let sent = 0;
    for (let idle = 0; idle < 5; await turn()) {
      if (push.trySend(Buffer.alloc(1_000_000))) sent += 1;
      else idle += 1;
    }
    expect(push.stats().peers).toBe(1);
    const closing = push.close({ linger: -1 });
    const { flushed, discarded } = await within(closing, "the close", 4_000);
    expect(flushed + discarded + push.stats().dropped.disconnected).toBe(sent);
    expect(push.stats().dropped.disconnected).toBeGreaterThan(0);
  });

  it.each([
    ["tcp", "tcp://127.0.0.1:9"],
    ["inproc", "inproc://attached"],
    ["udp", "udp://127.0.0.1:9"],
  ])("of %s that was connected twice and disconnected once takes options again", async (scheme, endpoint) => {
    const socket = scheme === "udp" ? new Radio({ context: world.context }) : world.push();
    world.after(() => socket.close({ linger: 0 }));
    const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
    try {
      socket.connect(endpoint);
      socket.connect(endpoint);
      socket.reconnectInterval = 50;
      expect(warn).toHaveBeenCalledTimes(1);
      socket.disconnect(endpoint);
      socket.reconnectInterval = 60;
      expect(warn).toHaveBeenCalledTimes(1);
    } finally {
      warn.mockRestore();
    }
  });

  it("an XSUB's message is not copied to see whether it is a subscription", async () => {
    const subscriber = world.xSubscriber();
    const large = Buffer.alloc(50_000_000, "x");
    const before = process.memoryUsage().arrayBuffers;
    expect(subscriber.trySend(large)).toBe(true);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(large.length / 2);
  });
});
