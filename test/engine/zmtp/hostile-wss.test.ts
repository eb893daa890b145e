/** wss:// attacked from beneath: connections that are cut after any number of bytes, and a peer that reads nothing. */
import { once } from "node:events";
import { connect as connectTls } from "node:tls";
import { expect, it } from "vitest";
import { until } from "../../contract/support/wait.js";
import { World } from "../../contract/support/world.js";
import { LONG } from "../../support/long.js";
import { portOf } from "../../support/ports.js";
import { Relay } from "../../support/relay.js";
import { MIB, memory } from "./support/hostile-world.js";
import { frame, readyOf, request, WsPeer } from "./support/ws-peer.js";

const world = new World("zmtp", "wss");

/**
 * Bytes after which connections are cut, through the whole of the handshakes.
 *
 * @param most what comes in that direction in any case: a PULL sends nothing after its handshakes
 */
function limits(most: number): number[] {
  const all: number[] = [];
  const step = (bytes: number): number => {
    if (LONG) return bytes < 1_000 ? 1 : 13;
    return bytes < 40 ? 5 : bytes < 4_500 ? 113 : 2_500;
  };
  for (let bytes = 1; bytes <= most; bytes += step(bytes)) all.push(bytes);
  return all;
}

it.each([
  ["from the client", "up", 20_000],
  ["from the server", "down", 900],
] as const)(
  "a connection that is cut after any number of bytes %s is made again; what arrives is in order and whole, and the socket serves others",
  async (_, direction, most) => {
    const pull = world.pull({ handshakeInterval: 2_000 });
    const endpoint = await pull.bind("wss://127.0.0.1:*/x");
    const relay = await Relay.to(endpoint);
    world.after(() => relay.close());
    const cuts = limits(most);
    relay.cutAfter(direction, ...cuts);
    const push = world.push({
      reconnectInterval: 1,
      reconnectMaxInterval: 1,
      sendHighWaterMark: 10,
      linger: 0,
    });
    push.connect(`${relay.endpoint.replace("tcp", "wss")}/x`);
    const good = world.connect(world.push(), endpoint);
    let sent = 0;
    let isSending = true;
    const sending = (async () => {
      while (isSending) {
        await push.send([String(sent), Buffer.alloc(300, sent)]);
        sent += 1;
      }
    })();
    let last = -1;
    const receiveOne = async (): Promise<boolean> => {
      const [number, body] = await pull.receive(); // As long as the test may take: while connections are cut early nothing comes.
      if (body === undefined) return true;
      expect(Number(number)).toBeGreaterThan(last);
      last = Number(number);
      expect((body as Buffer).equals(Buffer.alloc(300, last))).toBe(true);
      return false;
    };
    while (relay.cuts < cuts.length) await receiveOne();
    await good.send("good");
    while (!(await receiveOne()));
    isSending = false;
    while (last < sent - 1) await receiveOne();
    await sending;
    const { dropped, delivered, queued, sent: counted } = push.stats();
    expect(counted).toBe(delivered + queued + dropped.disconnected);
    await until(() => pull.stats().peers === 2, "two peers are left");
  },
  LONG ? 1_200_000 : 120_000,
);

it("a peer over wss that reads nothing costs no more than its queue, and the others are served", async () => {
  const publisher = world.publisher({ sendHighWaterMark: 100, heartbeatInterval: 0 });
  const endpoint = await publisher.bind("wss://127.0.0.1:*");
  const { tlsCert: cert, tlsKey: key, tlsCa: ca } = world.transportOptions;
  const deaf: WsPeer[] = [];
  for (let i = 0; i < 5; i++) {
    const socket = connectTls({
      port: portOf(endpoint),
      host: "127.0.0.1",
      cert: cert ?? undefined,
      key: key ?? undefined,
      ca: ca ?? undefined,
    });
    await once(socket, "secureConnect");
    world.after(() => socket.destroy());
    const peer = new WsPeer(socket);
    peer.send(request(), readyOf("SUB"), frame(2, "\x09SUBSCRIBE"));
    deaf.push(peer);
  }
  await until(() => publisher.stats().peers === 5, "five peers");
  for (const peer of deaf) peer.socket.pause();
  const subscriber = world.subscriber();
  subscriber.subscribe("");
  subscriber.connect(endpoint);
  await publisher.waitForSubscribers({ topic: "", timeout: 8_000 });
  await until(() => publisher.stats().peers === 6, "six peers");
  const body = Buffer.alloc(1_000);
  const before = memory();
  for (let i = 0; i < 10_000; i++) {
    await publisher.send([String(i), body]);
    if (i % 50 !== 49) continue;
    for (let k = 0; k < 50; k++) await subscriber.receive({ timeout: 8_000 });
  }
  // 100 messages and what the systems' and TLS's buffers hold, for each of five.
  expect(memory() - before).toBeLessThan(5 * 6 * MIB);
  expect(publisher.stats().copies?.dropped ?? 0).toBeGreaterThan(0);
}, 60_000);
