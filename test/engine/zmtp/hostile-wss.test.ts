/** wss:// attacked from beneath: connections that are cut after any number of bytes, and a peer that reads nothing. */
import { once } from "node:events";
import { connect as connectTcp, createServer, type Socket as NetSocket } from "node:net";
import { connect as connectTls } from "node:tls";
import { describe, expect, it } from "vitest";
import { until } from "../../contract/support/wait.js";
import { World } from "../../contract/support/world.js";
import { LONG } from "../../support/long.js";
import { MIB, memory } from "./support/hostile-world.js";
import { frame, readyOf, request, WsPeer } from "./support/ws-peer.js";

const world = new World("zmtp", "wss");
const portOf = (endpoint: string): number => Number(/:(\d+)/.exec(endpoint.slice(6))?.[1]);

/** Passes bytes on to a port, of each connection so many in one direction, and then cuts it. */
class Cutter {
  readonly server = createServer((client) => this.#onClient(client));
  /** Bytes after which the next connections are cut; none: not at all. */
  readonly limits: number[] = [];
  readonly #target: number;
  readonly #towardsServer: boolean;
  cuts = 0;

  constructor(target: number, towardsServer: boolean) {
    this.#target = target;
    this.#towardsServer = towardsServer;
  }

  async listen(): Promise<number> {
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
    world.after(() => this.server.close());
    return (this.server.address() as { port: number }).port;
  }

  #onClient(client: NetSocket): void {
    const limit = this.limits.shift() ?? Number.POSITIVE_INFINITY;
    const server = connectTcp(this.#target, "127.0.0.1");
    let passed = 0;
    let isCut = false;
    const cut = (): void => {
      isCut = true;
      client.resetAndDestroy();
      server.resetAndDestroy();
    };
    for (const [from, to, counts] of [
      [client, server, this.#towardsServer],
      [server, client, !this.#towardsServer],
    ] as const) {
      from.on("error", () => undefined);
      from.on("close", () => to.destroy());
      from.on("data", (bytes) => {
        if (isCut) return;
        const room = counts ? limit - passed : Number.POSITIVE_INFINITY;
        to.write(bytes.subarray(0, Math.min(room, bytes.length)));
        if (counts) passed += bytes.length;
        if (bytes.length < room) return;
        this.cuts += 1;
        // What was written is to arrive first.
        setImmediate(cut);
      });
    }
  }
}

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

describe("a connection that is cut after any number of bytes", () => {
  it.each([
    ["from the client", true, 20_000],
    ["from the server", false, 900],
  ])(
    "%s is made again; what arrives is in order and whole, and the socket serves others",
    async (_, towardsServer, most) => {
      const pull = world.pull({ handshakeInterval: 2_000 });
      const endpoint = await pull.bind("wss://127.0.0.1:*/x");
      const cutter = new Cutter(portOf(endpoint), towardsServer);
      const port = await cutter.listen();
      cutter.limits.push(...limits(most));
      const expected = cutter.limits.length;
      const push = world.push({
        reconnectInterval: 1,
        reconnectMaxInterval: 1,
        sendHighWaterMark: 10,
        linger: 0,
      });
      push.connect(`wss://127.0.0.1:${port}/x`);
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
      while (cutter.cuts < expected) await receiveOne();
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
});

describe("a peer over wss that reads nothing", () => {
  it("costs no more than its queue, and the others are served", async () => {
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
});
