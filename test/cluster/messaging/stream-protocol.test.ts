/** Protocols over streams of a program: whether the other end is there, and a bus with a key. */
import { type Duplex, duplexPair } from "node:stream";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ClusterNode } from "../../../src/cluster/index.js";
import type {
  MessageConnection,
  MessageProtocol,
  ProtocolHost,
} from "../../../src/cluster/messaging/protocol.js";
import { BusSecurity } from "../../../src/cluster/messaging/security.js";
import { streamProtocol } from "../../../src/cluster/messaging/stream-protocol.js";
import { tcpProtocol } from "../../../src/cluster/messaging/zmtp-protocol.js";
import { curveKeyPair } from "../../../src/index.js";
import { LinksWorld } from "./links-world.js";

const HEARTBEAT = 6_000;

/** Streams in memory. */
class Wires {
  readonly dialled: Duplex[] = [];
  readonly protocol: MessageProtocol;
  readonly #listeners = new Map<string, (stream: Duplex) => void>();

  constructor(secure = false) {
    this.protocol = streamProtocol({
      name: "wire",
      secure,
      reaches: () => true,
      listen: async (accept) => {
        const advert = `${this.#listeners.size}`;
        this.#listeners.set(advert, accept);
        return { advert, close: async () => undefined };
      },
      connect: async (where) => {
        const [here, there] = duplexPair();
        this.dialled.push(here);
        this.#listeners.get(where)?.(there);
        return here;
      },
    });
  }
}

/** From now on it takes what is written, and nothing comes of it. */
function swallow(stream: Duplex | undefined): void {
  if (stream === undefined) throw new Error("there is no stream");
  stream._write = (_chunk, _encoding, callback) => callback();
  stream._writev = (_chunks, callback) => callback();
}

let world: LinksWorld;
beforeEach(() => {
  world = new LinksWorld();
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});
afterEach(async () => {
  vi.useRealTimers();
  await world.close();
});

describe("a stream", () => {
  it("that swallows what is sent is given up after two heartbeats, and what it had goes by the next protocol", async () => {
    const wires = new Wires();
    const options = { protocols: [wires.protocol, tcpProtocol()], heartbeat: HEARTBEAT };
    const a = await world.node("a", options);
    const b = await world.node("b", options);
    a.send(b, "one");
    await b.until(() => b.items.length === 1);
    expect(a.links.protocolOf(b.id)).toBe("wire");
    await vi.advanceTimersByTimeAsync(10 * HEARTBEAT);
    expect([a.links.protocolOf(b.id), a.failures]).toEqual(["wire", []]);
    swallow(wires.dialled[0]);
    a.send(b, "two");
    await vi.advanceTimersByTimeAsync(2 * HEARTBEAT - 1_000);
    expect(a.failures).toEqual([]);
    a.send(b, "three");
    await vi.advanceTimersByTimeAsync(1_000);
    await b.until(() => b.items.length === 3);
    expect([b.texts, a.failures]).toEqual([["one", "two", "three"], [[b.id, "wire", "no answer"]]]);
    expect(a.links.protocolOf(b.id)).toBe("tcp");
  });

  it("stays while the program at its end takes its time", async () => {
    const wires = new Wires();
    const options = { protocols: [wires.protocol], heartbeat: HEARTBEAT };
    const a = await world.node("a", options);
    const b = await world.node("b", options);
    let release = (): void => undefined;
    b.handler = () => new Promise<void>((resolve) => (release = resolve));
    a.send(b, "one");
    await b.until(() => b.items.length === 1);
    a.send(b, "two");
    await vi.advanceTimersByTimeAsync(10 * HEARTBEAT);
    expect([wires.dialled.length, a.to(b).waiting, a.failures]).toEqual([1, 2, []]);
    release();
    await b.until(() => b.items.length === 2);
  });

  /** A connection that was dialled, over a stream whose peer is the test. */
  async function dialled(): Promise<{ connection: MessageConnection; stream: Duplex; closed: string[] }> {
    const wires = new Wires();
    const closed: string[] = [];
    const host = { maxFrame: 1_000_000, heartbeat: HEARTBEAT } as ProtocolHost;
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    const connection = wires.protocol.dial("none", {} as never, host, {
      onOpen: open,
      onMessage: () => undefined,
      onClose: (reason) => closed.push(reason),
    });
    await opened;
    return { connection, stream: wires.dialled[0] as Duplex, closed };
  }

  it("that is slow stays while it takes bytes, and ends when it takes no more", async () => {
    const { connection, stream, closed } = await dialled();
    const callbacks: (() => void)[] = [];
    stream._write = (_chunk, _encoding, callback) => void callbacks.push(callback);
    // Piece by piece.
    stream._writev = undefined as never;
    for (let i = 0; i < 8; i++) {
      connection.send([Buffer.alloc(100_000)]);
      await new Promise(setImmediate);
    }
    for (let i = 0; i < 8; i++) {
      await vi.advanceTimersByTimeAsync(HEARTBEAT);
      callbacks.shift()?.();
      expect(closed).toEqual([]);
    }
    await vi.advanceTimersByTimeAsync(2 * HEARTBEAT);
    expect(closed).toEqual(["no answer"]);
  });

  it("whose peer asks and does not read has no answers in memory", async () => {
    let accept: (stream: Duplex) => void = () => undefined;
    const protocol = streamProtocol({
      name: "wire",
      listen: async (accepts) => {
        accept = accepts;
        return { advert: "here", close: async () => undefined };
      },
      connect: async () => duplexPair()[0],
    });
    await world.node("b", { protocols: [protocol] });
    const [here, there] = duplexPair();
    accept(there);
    here.write(Buffer.alloc(4));
    expect(String(await new Promise((resolve) => here.once("data", resolve)))).toBe("\0\0\0\0");
    here.pause();
    for (let i = 0; i < 100; i++) {
      here.write(Buffer.alloc(40_000));
      await new Promise(setImmediate);
    }
    expect(here.readableLength + there.writableLength).toBeLessThan(100_000);
  });
});

describe("a bus with a key", () => {
  it("has messages over streams that keep others out", async () => {
    const wires = new Wires(true);
    const key = curveKeyPair().secretKey;
    const node = (name: string) =>
      world.node(name, { protocols: [wires.protocol], security: new BusSecurity("test", [key]) });
    const a = await node("a");
    const b = await node("b");
    for (let i = 0; i < 20; i++) a.send(b, `${i}`);
    await b.until(() => b.items.length === 20);
    expect([a.failures, b.links.stats().refused]).toEqual([[], {}]);
  });

  it("takes no streams that do not, nor those of a node with a key of its own, which they cannot prove", () => {
    const { publicKey, secretKey } = curveKeyPair();
    const options = { key: curveKeyPair().secretKey, registry: false, multicast: false };
    const insecure = { protocols: [new Wires().protocol] };
    expect(() => new ClusterNode({ ...options, messaging: insecure })).toThrow(/not secure/);
    const messaging = { protocols: [new Wires(true).protocol] };
    const curve = { publicKey, secretKey, allow: [publicKey] };
    expect(() => new ClusterNode({ ...options, curve, messaging })).toThrow(
      expect.objectContaining({ code: "EINVAL", message: expect.stringContaining("wire") }),
    );
    const node = new ClusterNode({ ...options, curve });
    expect(() => node.bus("other", { key: options.key, messaging })).toThrow(/wire/);
    expect(() => new ClusterNode({ ...options, messaging })).not.toThrow();
  });
});
