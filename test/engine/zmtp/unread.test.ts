/** What peers are held to while this side does not read them, as its queue is full. */
import { once } from "node:events";
import type { Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { collect, nextEvent, turn, until, within } from "../../contract/support/wait.js";
import { World } from "../../contract/support/world.js";
import { command, frame, greeting, ready } from "../../contract/support/zmtp-peer.js";
import { RawServer, shaken } from "./support/raw-server.js";

const world = new World("zmtp", "tcp");
/** PING: a time to live of 2 tenths of a second, no context (37/ZMTP, Heartbeating). */
const PING = command("PING", "\u0000\u0002");
const TIME_TO_LIVE = 200;

describe("a peer that named a time to live and falls silent", () => {
  /** Another such peer, of a socket that reads, has been given up so many times. */
  async function timesToLive(count: number): Promise<void> {
    const pull = world.pull({ heartbeatInterval: 0 });
    const endpoint = await world.bind(pull);
    for (let i = 0; i < count; i++) {
      const left = nextEvent(pull, "disconnect", ({ reason }) => reason === "heartbeat");
      const peer = await shaken(world, endpoint, "PUSH");
      peer.write(PING);
      await left;
    }
  }

  it("stays while our receive queue is full, and has its whole time to live when we read again", async () => {
    const pull = world.pull({ heartbeatInterval: 0, receiveHighWaterMark: 2 });
    const peer = await shaken(world, pull, "PUSH");
    let gone: string | undefined;
    pull.events.on("disconnect", ({ reason }) => {
      gone = reason;
    });
    // It speaks until nobody listens, and has nothing more to say.
    peer.write(PING, frame("one"), frame("two"), PING);
    await until(() => pull.stats().receiveQueued === 2, "two messages");
    await timesToLive(3);
    expect(gone).toBeUndefined();
    const left = nextEvent(pull, "disconnect");
    const resumed = performance.now();
    expect(await collect(pull, 2)).toEqual(["one", "two"]);
    expect((await left).reason).toBe("heartbeat");
    expect(performance.now() - resumed).toBeGreaterThan(TIME_TO_LIVE * 0.9);
  });

  it("stays while our receive queue is full from its last connection", async () => {
    const server = new RawServer((socket) => {
      const first = server.connections.length === 1;
      const rest = first ? [frame("one"), frame("two")] : [PING];
      socket.write(Buffer.concat([greeting(), ready("PUSH"), ...rest]));
      socket.resume();
    });
    const pull = world.pull({ heartbeatInterval: 0, receiveHighWaterMark: 2, reconnectInterval: 5 });
    pull.connect(await server.listen(world));
    await until(() => pull.stats().receiveQueued === 2, "two messages");
    const joined = nextEvent(pull, "peer:join");
    (await server.first()).destroy();
    await joined;
    let gone = false;
    pull.events.on("disconnect", () => {
      gone = true;
    });
    await timesToLive(3);
    expect([gone, server.connections.length]).toEqual([false, 2]);
  });
});

describe("a peer that hangs up while this side does not read it", () => {
  it("gets nothing more: what is sent waits for the next connection", async () => {
    let got = Buffer.alloc(0);
    const onConnection = (socket: Socket): void => {
      socket.on("data", (bytes) => {
        if (server.connections.length > 1) got = Buffer.concat([got, bytes]);
      });
      socket.write(Buffer.concat([greeting(), ready("DEALER")]));
    };
    const server: RawServer = new RawServer(onConnection, { allowHalfOpen: true });
    const dealer = world.dealer({ receiveHighWaterMark: 2, reconnectInterval: 5 });
    dealer.connect(await server.listen(world));
    await dealer.ready();
    const first = await server.first();
    first.write(Buffer.concat([frame("one"), frame("two")]));
    await until(() => dealer.stats().receiveQueued === 2, "a full queue");
    // Behind it, so that the end is not known before the program receives.
    const ended = once(first, "end");
    first.end(frame("three"));
    await ended;

    const sent = ["a", "b", "c"];
    for (const text of sent) await dealer.send(text);
    await turn();
    expect(dealer.stats()).toMatchObject({ delivered: 0, queued: 3, dropped: { disconnected: 0 } });
    expect(await collect(dealer, 3)).toEqual(["one", "two", "three"]);
    await until(() => sent.every((text) => got.includes(frame(text))), "the messages");
    expect(dealer.stats()).toMatchObject({ delivered: 3, queued: 0, dropped: { disconnected: 0 } });
  });

  it("keeps no STREAM from closing that has something for it", async () => {
    const stream = world.stream({ receiveHighWaterMark: 2 });
    const { socket: client } = await world.raw(await world.bind(stream));
    const [id] = await stream.receive();
    for (const count of [1, 2]) {
      client.write("piece");
      await until(() => stream.stats().receiveQueued === count, "the piece");
    }
    // Behind it, so that the end is not known before the program receives.
    const ended = once(client, "end");
    client.end("rest");
    await ended;
    await stream.send([id, "late"]);
    await within(stream.close({ linger: -1 }), "close", 5_000);
    expect(stream.stats().dropped.disconnected).toBe(1);
  });
});
