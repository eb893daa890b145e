/** Connections that are given up, or lost, in the middle of something else. */
import { describe, expect, it, vi } from "vitest";
import { collect, nextEvent, turn, until, within } from "../../contract/support/wait.js";
import { World } from "../../contract/support/world.js";
import { frame, greeting, ready } from "../../contract/support/zmtp-peer.js";
import { fill, mutePull, RawServer, shaken } from "./support/raw-server.js";

const world = new World("zmtp", "tcp");

describe("disconnecting", () => {
  it("during the handshake ends the connection, and no peer ever joins", async () => {
    const server = new RawServer();
    const push = world.push();
    let joined = 0;
    push.events.on("peer:join", () => void joined++);
    const endpoint = await server.listen(world);
    push.connect(endpoint);
    const socket = await server.first();
    push.disconnect(endpoint);
    socket.write(Buffer.concat([greeting(), ready("PULL")]));
    await server.left();
    expect([joined, push.stats().peers]).toEqual([0, 0]);
  });

  it("and connecting to the same endpoint at once makes a new connection, time and again", async () => {
    const [push, pull] = [world.push({ reconnectInterval: 5 }), world.pull()];
    const endpoint = await world.link(pull, push);
    for (let i = 0; i < 40; i++) {
      for (let turns = i % 5; turns > 0; turns--) await turn();
      push.disconnect(endpoint);
      push.connect(endpoint);
    }
    await push.ready({ timeout: 4_000 });
    await push.send("arrived");
    expect(await collect(pull, 1)).toEqual(["arrived"]);
    await until(() => pull.stats().peers === 1, "one peer");
    expect(push.stats().peers).toBe(1);
  });

  it("a STREAM ends its connection", async () => {
    const server = new RawServer();
    const stream = world.stream();
    const endpoint = await server.listen(world);
    stream.connect(endpoint);
    await server.first();
    await stream.receive({ timeout: 4_000 });
    stream.disconnect(endpoint);
    await server.left();
  });
});

describe("a lost connection", () => {
  it("a raw peer that reads nothing any more ends it, and what waited is dropped", async () => {
    const stream = world.stream();
    const { socket: peer } = await world.raw(await world.bind(stream));
    const [id] = await stream.receive({ timeout: 4_000 });
    peer.pause();
    while (stream.stats().queued < 50) {
      await stream.send([id, Buffer.alloc(200_000)]);
      await turn();
    }
    const left = nextEvent(stream, "disconnect");
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      await stream.send([id, ""]);
      const { queued } = stream.stats();
      vi.advanceTimersByTime(29_000);
      peer.resume();
      while (stream.stats().queued === queued) await turn();
      peer.pause();
      vi.advanceTimersByTime(1_000);
      await turn();
      expect(stream.stats().peers).toBe(1);
      // What had left goes on to the peer's system for a while.
      for (let i = 0; i < 100 && stream.stats().peers === 1; i++) {
        vi.advanceTimersByTime(30_000);
        await turn();
      }
    } finally {
      vi.useRealTimers();
    }
    expect(await left).toMatchObject({ reason: "local" });
    const { queued, dropped } = stream.stats();
    expect([queued, dropped.disconnected > 0]).toEqual([0, true]);
  });

  it("takes whole messages with it: the next connection never gets the rest of one", async () => {
    const push = world.push({ reconnectInterval: 5 });
    const server = new RawServer(mutePull);
    push.connect(await server.listen(world));
    await nextEvent(push, "peer:join");
    expect(push.trySend(["torn", ...Array.from({ length: 60 }, () => Buffer.alloc(300_000))])).toBe(true);
    expect(push.trySend(["whole", "message"])).toBe(true);
    const left = nextEvent(push, "peer:leave");
    await turn();
    server.end();
    expect((await left).reason).toBe("remote");
    expect(push.stats()).toMatchObject({ delivered: 0, queued: 1, dropped: { disconnected: 1 } });
    const pull = world.pull();
    await pull.bind(`tcp://127.0.0.1:${server.port}`);
    expect(await collect(pull, 1)).toEqual(["whole|message"]);
  });

  it("of an accepted peer drops that peer's queue; sends that wait are for the next peer", async () => {
    const push = world.push({ sendHighWaterMark: 4 });
    const endpoint = await world.bind(push);
    const peer = await shaken(world, endpoint, "PULL");
    peer.socket.pause();
    await push.ready({ peers: 1 });
    await fill(push, 1_000_000);
    const sends = Array.from({ length: 10 }, (_, i) => push.send(String(i)));
    const left = nextEvent(push, "peer:leave");
    peer.destroy();
    await left;
    await turn();
    expect(push.stats().pendingSends).toBe(10);
    const { sent, delivered, queued, dropped } = push.stats();
    expect([delivered + queued + dropped.disconnected, dropped.disconnected > 0]).toEqual([sent, true]);
    const pull = world.connect(world.pull(), endpoint);
    await within(Promise.all(sends), "the sends");
    expect(await collect(pull, 10)).toEqual(Array.from({ length: 10 }, (_, i) => String(i)));
  });

  it("comes back with immediate, too", async () => {
    const push = world.push({ immediate: true, reconnectInterval: 5 });
    let pull = world.pull();
    const endpoint = await world.link(pull, push);
    for (let round = 0; round < 3; round++) {
      await within(push.send(`round ${round}`), "the send");
      expect(await collect(pull, 1)).toEqual([`round ${round}`]);
      const left = nextEvent(push, "peer:leave");
      await pull.close({ linger: 0 });
      await left;
      pull = world.pull();
      await pull.bind(endpoint);
    }
  });

  it("of a receiver that is full comes back and stays, although it is not read from", async () => {
    const pull = world.pull({ receiveHighWaterMark: 1, reconnectInterval: 5, heartbeatInterval: 20 });
    const push = world.push();
    const endpoint = await world.link(push, pull);
    await push.send("1");
    await until(() => pull.stats().receiveQueued === 1, "the message");
    const gone = nextEvent(pull, "peer:leave");
    await push.close({ linger: 0 });
    await gone;
    // Its successor speaks only once, and counts the PINGs that it gets.
    let pings = 0;
    const server = new RawServer((socket) => {
      socket.write(Buffer.concat([greeting(), ready("PUSH"), frame("2")]));
      socket.on("data", (chunk) => {
        pings += chunk.toString("latin1").split("\u0004PING").length - 1;
      });
    });
    server.port = Number(endpoint.slice(endpoint.lastIndexOf(":") + 1));
    const joined = nextEvent(pull, "peer:join");
    await server.listen(world);
    await joined;
    const reasons: string[] = [];
    pull.events.on("peer:leave", ({ reason }) => reasons.push(reason));
    await until(() => pings >= 6, "six PINGs"); // Well over interval and time-out.
    expect(reasons).toEqual([]);
    expect(await collect(pull, 2)).toEqual(["1", "2"]);
  });
});
