import { afterEach, beforeEach, describe, test, vi } from "vitest";
import { createId } from "../../../src/cluster/identity.js";
import { decodeAdvert } from "../../../src/cluster/messaging/advert.js";
import { LISTEN_TIMEOUT, MAX_LANES, MIN_ITEM_LIMIT } from "../../../src/cluster/messaging/bounds.js";
import type { LinkProtocol } from "../../../src/cluster/messaging/pair-streams.js";
import type { ProtocolListener } from "../../../src/cluster/messaging/protocol.js";
import {
  decodeAck,
  decodeHello,
  decodeRefused,
  encodeAck,
  encodeHello,
  encodeRefused,
  type Hello,
  LinkFrame,
} from "../../../src/cluster/messaging/wire.js";
import { expect } from "../../support/quick-expect.js";
import { connectTo, FakeProtocol, FakeStream } from "./fake-streams.js";
import { LinksNode, linked, linksWorld } from "./links-world.js";

const world = linksWorld();

/** Of what has no event: on a busy machine, too. */
const SOON = { timeout: 20_000, interval: 5 };
const texts = (count: number, from = 0): string[] =>
  Array.from({ length: count }, (_, i) => `item ${from + i}`);

function sendAll(from: LinksNode, to: LinksNode, count: number, first = 0): void {
  for (const text of texts(count, first)) expect(from.send(to, text)).toBe("sent");
}

/** Sends so many, until the other one has these and those before. */
function deliver(from: LinksNode, to: LinksNode, count: number, first = 0): Promise<void> {
  sendAll(from, to, count, first);
  return to.until(() => to.items.length === first + count);
}

/** A peer that speaks for itself. */
class Raw {
  readonly id = createId();
  readonly stream: FakeStream;
  readonly #to: LinksNode;
  readonly #lane: number;
  readonly #came: Buffer[] = [];
  #onFrame = (): void => undefined;

  constructor(to: LinksNode, lane = 0) {
    this.#to = to;
    this.#lane = lane;
    this.stream = connectTo(decodeAdvert(to.advert)?.protocols.get("tcp"));
    this.stream.owner = {
      onMessages: (_stream, bytes) => {
        this.#came.push(bytes.subarray(1));
        this.#onFrame();
        return true;
      },
      onEnd: () => undefined,
    };
  }

  give(...frames: Buffer[]): void {
    this.stream.sendMessages(undefined, [Buffer.of(this.#lane), ...frames]);
  }

  async receive(): Promise<Buffer> {
    while (this.#came.length === 0) await new Promise<void>((resolve) => (this.#onFrame = resolve));
    return this.#came.shift() as Buffer;
  }

  hello(changes: Partial<Hello> = {}): Promise<Buffer> {
    this.give(
      encodeHello({
        to: this.#to.id,
        from: this.id,
        life: "00".repeat(8),
        session: 0,
        maxWaiting: 0,
        maxWaitingBytes: 0,
        lane: this.#lane,
        sent: 0,
        ...changes,
      }),
    );
    return this.receive();
  }

  /** @returns why it was refused */
  async send(...frames: Buffer[]): Promise<string | undefined> {
    this.give(...frames);
    return decodeRefused(await this.receive());
  }

  close(): void {
    this.stream.end("closed");
  }
}

/** Raw peers are members that take messages. */
function admit(raw: Raw): void {
  world.nodes.set(raw.id, {
    name: "raw",
    advert: "1;tcp=1",
    links: { onMember: () => undefined },
  } as never);
}

function batch(sequence: number, count: number, body: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head[0] = LinkFrame.BATCH;
  head.writeUIntBE(sequence, 1, 6);
  head.writeUInt16BE(count, 7);
  return Buffer.concat([head, body]);
}

function batchOf(first: number, ...items: string[]): Buffer {
  const body = items.map((item) => `\u0002${String.fromCharCode(item.length)}${item}`);
  return batch(first, items.length, Buffer.from(body.join("")));
}

describe("acknowledgements", () => {
  const FAKED = ["setTimeout", "clearTimeout", "performance"] as const;

  /** A peer that keeps so much, and what it has been acknowledged. */
  async function peer(maxWaiting: number, maxWaitingBytes: number): Promise<[LinksNode, Raw]> {
    const node = await world.node("node");
    const raw = new Raw(node);
    admit(raw);
    await raw.hello({ maxWaiting, maxWaitingBytes });
    vi.useFakeTimers({ toFake: [...FAKED] });
    return [node, raw];
  }
  async function give(node: LinksNode, raw: Raw, first: number, ...items: string[]): Promise<void> {
    raw.give(batchOf(first, ...items));
    await node.until(() => node.items.length === first + items.length);
  }
  const acked = async (raw: Raw): Promise<number | undefined> => decodeAck(await raw.receive())?.delivered;

  test("wait for more items, and for 20 ms at most", async () => {
    const [node, raw] = await peer(1_000, 1_000_000);
    for (let i = 0; i < 5; i++) await give(node, raw, i, "item");
    vi.advanceTimersByTime(20);
    expect(await acked(raw)).toBe(5);
    vi.advanceTimersByTime(50);
    await give(node, raw, 5, "item");
    vi.advanceTimersByTime(20);
    expect(await acked(raw)).toBe(6);
    raw.close();
  });

  test("go in a turn that reads items, while these come; with the last of them 100 ms later", async () => {
    const [node, raw] = await peer(1_000, 1_000_000);
    const given = async (first: number, after: number): Promise<void> => {
      vi.advanceTimersByTime(after);
      await give(node, raw, first, "item");
    };
    await given(0, 0);
    await given(1, 9);
    await given(2, 1);
    expect(await acked(raw)).toBe(3);
    await given(3, 49);
    const timers = vi.getTimerCount();
    // The next item has the acknowledgement go, and no timer does.
    await given(4, 49);
    expect(await acked(raw)).toBe(5);
    expect(vi.getTimerCount()).toBe(timers);
    await given(5, 49);
    vi.advanceTimersByTime(99);
    await given(6, 0);
    expect(await acked(raw)).toBe(7);
    await given(7, 49);
    vi.advanceTimersByTime(100);
    expect(await acked(raw)).toBe(8);
    raw.close();
  });

  test("do not wait when half of the items or bytes came that the peer keeps, or when it does not say what it keeps", async () => {
    const [node, raw] = await peer(6, 1_000_000);
    await give(node, raw, 0, "1", "2");
    await give(node, raw, 2, "3");
    expect(await acked(raw)).toBe(3);
    raw.close();
    vi.useRealTimers();
    for (const [items, bytes] of [
      [1_000, 100],
      [0, 0],
    ] as const) {
      const [other, small] = await peer(items, bytes);
      await give(other, small, 0, "x".repeat(100));
      expect(await acked(small)).toBe(1);
      small.close();
      vi.useRealTimers();
    }
  });

  test("what was not acknowledged yet is when the links close", async () => {
    const [a, b] = await world.pair();
    await deliver(a, b, 1);
    vi.useFakeTimers({ toFake: [...FAKED] });
    await deliver(a, b, 1, 1);
    await b.links.close(0);
    vi.useRealTimers();
    await expect.poll(() => a.to(b)).toMatchObject({ delivered: 2, lost: 0, resent: 0 });
  });
});

test("a sender whose details are not here yet is heard once it is: what answers it finds the way back", async () => {
  const [a, b, c] = [await world.node("a"), await world.node("b"), await world.node("c")];
  world.unknown.add(a.id);
  const replies: string[] = [];
  b.handler = ({ from }) => {
    if (from === a.id) replies.push(b.send(a, "reply"));
  };
  const greeted = world.lookedUp(a);
  expect(a.send(b, "question")).toBe("sent");
  await greeted;
  // By the time that a link of another node stands, that of the first would.
  c.send(b, "other");
  await b.until(() => b.texts.length > 0 && b.texts.includes("other"));
  expect(b.texts).toEqual(["other"]);
  world.unknown.delete(a.id);
  world.changed(a, "alive");
  await a.until(() => a.texts.length === 1);
  expect(replies).toEqual(["sent"]);
});

test("items for a member whose details are not here yet wait for them; one that takes no messages has none", async () => {
  const [a, b, c] = [await world.node("a"), await world.node("b"), await world.node("c")];
  world.unknown.add(b.id).add(c.id);
  sendAll(a, b, 3);
  expect(a.send(b, "x".repeat(MIN_ITEM_LIMIT + 1))).toBe("too-large");
  sendAll(a, c, 1);
  expect([a.to(b), a.to(c)]).toMatchObject([
    { state: "idle", waiting: 3 },
    { state: "idle", waiting: 1 },
  ]);
  c.advert = undefined;
  world.unknown.clear();
  world.changed(b, "alive");
  world.changed(c, "alive");
  await b.until(() => b.items.length === 3);
  expect(b.texts).toEqual(texts(3));
  expect(a.links.stats().peers.map(({ id }) => id)).toEqual([b.id]);
  expect(a.send(c, "late")).toBe("unreachable");
  expect([a.pings, a.lost]).toEqual([[], []]);
});

test("closing waits no longer for a member once its details say that it takes no messages", async () => {
  const [a, b] = await world.pair();
  world.unknown.add(b.id);
  sendAll(a, b, 1);
  const closed = a.links.close(-1);
  b.advert = undefined;
  world.unknown.clear();
  world.changed(b, "alive");
  await closed;
});

describe("attempts to connect", () => {
  test("each round that fails gives the next one more time: a peer that is slow to answer is not kept busy with attempts", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    // It connects and never answers.
    const dials: number[] = [];
    const ends: number[] = [];
    let now = 0;
    const deaf = new FakeProtocol("deaf");
    deaf.connect = async () => {
      dials.push(now);
      const [stream, other] = FakeStream.pair();
      other.owner = { onMessages: () => true, onEnd: () => void ends.push(now) };
      return stream as never;
    };
    const [a, b] = await world.pair({ protocols: [deaf] }, { protocols: [deaf] });
    a.send(b, "hello");
    for (; now < 90_000; now += 50) {
      vi.advanceTimersByTime(50);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const took = ends.map((end, i) => Math.round((end - (dials[i] as number)) / 1_000));
    expect(took).toEqual([3, 6, 12, 24, 24]);
    expect(a.to(b)).toMatchObject({ waiting: 1, lost: 0 });
  });
});

describe("links between two nodes", () => {
  test("to nobody, to oneself, to a member that takes no messages: unreachable", async () => {
    const [a, b] = await world.pair();
    b.advert = undefined;
    expect(a.send(b, "x")).toBe("unreachable");
    expect(a.links.send(createId(), 2, Buffer.alloc(1))).toBe("unreachable");
    expect(a.links.send(a.id, 2, Buffer.alloc(1))).toBe("unreachable");
    expect(await a.links.room(createId())).toBe(false);
  });

  test("a connection that the peer closes while nothing waits is not a failure, and the next item dials again", async () => {
    const tcp = new FakeProtocol();
    const [a, b] = await world.pair({ protocols: [tcp] });
    sendAll(a, b, 3);
    await expect.poll(() => a.to(b).delivered).toBe(3);
    tcp.cut();
    expect([a.failures, a.to(b).state]).toEqual([[], "idle"]);
    await deliver(a, b, 3, 3);
    expect([b.texts, tcp.dialled, a.failures]).toEqual([texts(6), 2, []]);
  });

  test("what is sent while its failure is reported waits for the next stream", async () => {
    const tcp = new FakeProtocol();
    const large = "x".repeat(100_000);
    const onProtocolFailed = (): void => void a.send(b, large);
    const [a, b] = await world.pair({ protocols: [tcp], effects: { onProtocolFailed } });
    sendAll(a, b, 1);
    await expect.poll(() => a.to(b).delivered).toBe(1);
    sendAll(a, b, 1, 1);
    tcp.cut();
    await b.until(() => b.items.length === 3);
    expect(b.texts).toEqual([...texts(2), large]);
  });

  test("what waits for a peer that is gone is lost, counted and reported once", async () => {
    const [a, b] = await world.pair();
    const release = b.hold();
    sendAll(a, b, 10);
    const routes = (to: string) => a.links.send(to, 1, Buffer.from("routes"));
    expect(routes(b.id)).toBe("sent");
    await b.until(() => b.items.length === 1);
    world.changed(b, "lost");
    world.changed(b, "gone");
    expect(a.links.stats().peers).toEqual([]);
    // Changes of routes are nobody's loss.
    const c = await world.node("c");
    c.handler = () => new Promise(() => undefined);
    expect(routes(c.id)).toBe("sent");
    world.changed(c, "gone");
    expect(a.lost).toEqual([[b.id, 10]]);
    expect(a.peers).toEqual([b.id]);
    // It is met again: nothing of the session before arrives.
    b.handler = undefined;
    const greeted = world.lookedUp(a);
    world.changed(b, "alive");
    sendAll(a, b, 5, 10);
    await greeted;
    release();
    await b.until(() => b.items.length === 6);
    expect(b.texts).toEqual([...texts(1), ...texts(5, 10)]);
  });

  test("a sender that has forgotten its receiver, which has not, finds it again", async () => {
    const [a, b] = await world.pair();
    for (let round = 0; round < 3; round++) {
      await deliver(a, b, 1, round);
      a.links.onMember(b.id, round < 2 ? "lost" : "gone");
      a.links.onMember(b.id, "alive");
    }
    sendAll(a, b, 1, 3);
    await Promise.race([
      b.until(() => b.items.length === 4),
      a.until(() => a.failures.some(([, , reason]) => reason.startsWith("refused"))),
    ]);
    expect([b.texts, b.links.stats().refused]).toEqual([texts(4), {}]);
  });

  test("a peer that does not read fills its window: then items are dropped and counted, and others get theirs", async () => {
    const [a, b] = await world.pair({ highWaterMark: 100 });
    const c = await world.node("c");
    const release = b.hold();
    for (let i = 0; i < 150; i++) {
      expect(a.send(b, `item ${i}`)).toBe(i < 100 ? "sent" : "full");
      a.send(c, `item ${i}`);
      if (i % 50 === 49) await expect.poll(() => a.to(c).waiting).toBe(0);
    }
    expect(c.texts).toEqual(texts(150));
    expect(a.to(b)).toMatchObject({ sent: 150, waiting: 100, dropped: 50, delivered: 0 });
    const room = a.links.room(b.id);
    release();
    await room;
    expect(a.to(b).waiting).toBeLessThanOrEqual(50);
    expect(a.links.send(b.id, 2, Buffer.from("x"))).toBe("sent");
    await b.until(() => b.items.length === 101);
  });

  test("a wait for an item that does not fit behind others ends with an acknowledgement, not at once", async () => {
    const [a, b] = await world.pair({ highWaterMarkBytes: 1_000 });
    const release = b.hold();
    expect(a.send(b, "x".repeat(400))).toBe("sent");
    await b.until(() => b.items.length === 1);
    const large = Buffer.alloc(700);
    expect(a.links.send(b.id, 2, large)).toBe("full");
    let isThere: boolean | undefined;
    const room = a.links.room(b.id, large.length).then((is) => {
      isThere = is;
    });
    for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(isThere).toBeUndefined();
    release();
    await room;
    expect(isThere).toBe(true);
    expect(a.links.send(b.id, 2, large)).toBe("sent");
  });

  test("a full send is a drop where its caller says so, and a wait for room ends when the peer is gone", async () => {
    const [a, b] = await world.pair({ highWaterMark: 2 });
    b.handler = () => new Promise(() => undefined);
    expect(a.links.hasRoom(b.id, 1_000_000)).toBe(true);
    sendAll(a, b, 2);
    expect(a.links.hasRoom(b.id, 1)).toBe(false);
    expect(a.links.send(b.id, 2, Buffer.from("x"))).toBe("full");
    expect(a.to(b).dropped).toBe(0);
    a.links.drop(b.id);
    expect(a.to(b).dropped).toBe(1);
    const room = a.links.room(b.id);
    world.changed(b, "gone");
    expect(await room).toBe(false);
  });

  test("a handler that throws loses its item alone, and is counted", async () => {
    const [a, b] = await world.pair();
    b.handler = ({ text }) => {
      if (text === "item 1") throw new Error("no");
    };
    await deliver(a, b, 3);
    await expect.poll(() => a.to(b).delivered).toBe(3);
    expect(b.links.stats().refused).toEqual({ handler: 1 });
  });

  test("one at rest carries nothing: no end asks for the other", async () => {
    vi.useFakeTimers({
      toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"],
    });
    const tcp = new FakeProtocol();
    const frames: (number | undefined)[] = [];
    tcp.onSent = ([type]) => void frames.push(type);
    const [a, b] = await world.pair({ protocols: [tcp] });
    for (let number = 0; number < 2; number++) {
      await deliver(a, b, 1, number);
      vi.advanceTimersByTime(100);
      while (a.to(b).waiting > 0) await new Promise((resolve) => setImmediate(resolve));
    }
    const [stream] = tcp.streams as [FakeStream];
    stream.other.onSent = ([type]) => void frames.push(type);
    // An answer is expected to each frame, and only by the end that sends items.
    const { HELLO, BATCH } = LinkFrame;
    const sent = [[HELLO, BATCH, BATCH], 3, 0];
    expect([frames, stream.asked, stream.other.asked]).toEqual(sent);
    vi.advanceTimersByTime(50_000);
    await new Promise((resolve) => setImmediate(resolve));
    expect([frames, stream.asked, stream.other.asked]).toEqual(sent);
  });

  test("one by which nothing comes is closed by its other end, too, which may be all that is left of it", async () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    const dials = new FakeProtocol();
    const [a, b] = await world.pair({ protocols: [dials], idle: 3_600_000 }, { idle: 40 });
    const looks = (count: number): void => void vi.advanceTimersByTime(count * 10);
    const item = async (number: number): Promise<void> => {
      await deliver(a, b, 1, number);
    };
    // A poll would advance the timers.
    const until = async (is: () => boolean): Promise<void> => {
      while (!is()) await new Promise((resolve) => setImmediate(resolve));
    };
    await item(0);
    looks(8);
    await item(1);
    looks(8);
    // What a handler holds is not over, however long it takes.
    const release = b.hold();
    await item(2);
    looks(100);
    release();
    await item(3);
    expect(dials.dialled).toBe(1);
    await until(() => a.to(b).waiting === 0);
    looks(9);
    await until(() => a.to(b).state === "idle");
    await item(4);
    expect([dials.dialled, a.peers, a.failures]).toEqual([2, [b.id], []]);
  });

  test("the links of a node that could not listen, and sends all the same, close when idle", async () => {
    const deaf = new FakeProtocol();
    deaf.listen = () => Promise.reject(new Error("no port is free"));
    const a = new LinksNode(world, "a", { idle: 20, protocols: [deaf] });
    world.started.push(a);
    await a.links.start();
    expect([a.advert, a.failures]).toEqual([undefined, [["", "tcp", "no port is free"]]]);
    world.add(a);
    const b = await world.node("b");
    await deliver(a, b, 1);
    await expect.poll(() => a.to(b).state).toBe("idle");
  });

  test("closing with linger delivers what waits; without it, counts it as lost", async () => {
    const [a, b] = await world.pair();
    sendAll(a, b, 100);
    await a.links.close(5_000);
    expect(b.items.length).toBe(100);
    const c = await world.node("c");
    sendAll(c, b, 100);
    await c.links.close(0);
    expect(b.items.length).toBe(100);
    expect(c.send(b, "x")).toBe("unreachable");
  });
});

describe("protocols", () => {
  test("one that fails, at first or later, falls back to the next at once, and loses nothing", async () => {
    const first = new FakeProtocol("ipc");
    const second = new FakeProtocol();
    const [a, b] = await world.pair(
      { protocols: [first, second] },
      { protocols: [new FakeProtocol("ipc"), new FakeProtocol()] },
    );
    await deliver(a, b, 100);
    expect(a.links.protocolOf(b.id)).toBe("ipc");
    sendAll(a, b, 100, 100);
    first.fails = true;
    first.cut();
    await b.until(() => b.items.length === 200);
    expect(a.links.protocolOf(b.id)).toBe("tcp");
    expect(b.texts).toEqual(texts(200));
    expect(a.failures).toContainEqual([b.id, "ipc", "cut"]);
    expect(a.pings).toEqual([]);
  });

  test("where none works the membership is asked to look, and items wait until one works again", async () => {
    const tcp = new FakeProtocol();
    tcp.fails = true;
    const [a, b] = await world.pair({ protocols: [tcp] });
    sendAll(a, b, 10);
    await a.until(() => a.pings.filter((id) => id === b.id).length >= 3);
    expect(a.to(b)).toMatchObject({ waiting: 10, delivered: 0, state: "waiting: tcp: it fails" });
    // Once, though it was tried three times.
    expect(a.failures).toEqual([[b.id, "tcp", "it fails"]]);
    tcp.fails = false;
    await b.until(() => b.items.length === 10);
    expect(tcp.dialled).toBeGreaterThan(1);
  });

  /** Links by ipc and tcp, of which both ends have both. */
  async function pair(protocols: readonly LinkProtocol[] = [new FakeProtocol("ipc"), new FakeProtocol()]) {
    const [a, b] = await world.pair(
      { protocols },
      { protocols: [new FakeProtocol("ipc"), new FakeProtocol()] },
    );
    const by: string[] = [];
    b.handler = ({ protocol }) => void by.push(protocol);
    const send = (text: string, names?: readonly string[]): string =>
      a.links.send(b.id, 4, Buffer.from(text), names && a.links.laneOf(names));
    return { a, b, by, send };
  }

  test("that a message names have a link of their own, next to that for everything, in order each", async () => {
    const { a, b, by, send } = await pair();
    await deliver(a, b, 1);
    expect(a.links.protocolOf(b.id)).toBe("ipc");
    for (let i = 0; i < 300; i++) expect(send(String(i), ["tcp", "ws"])).toBe("sent");
    sendAll(a, b, 200, 1);
    await b.until(() => b.items.length === 501);
    expect(b.texts.filter((text) => /^\d+$/.test(text))).toEqual(
      Array.from({ length: 300 }, (_, i) => `${i}`),
    );
    expect(b.texts.filter((text) => text.startsWith("item"))).toEqual(texts(201));
    for (const [at, { text }] of b.items.entries())
      expect([text, by[at]]).toEqual([text, text.startsWith("item") ? "ipc" : "tcp"]);
    expect([a.links.protocolOf(b.id), a.links.protocolOf(b.id, a.links.laneOf(["tcp"]))]).toEqual([
      "ipc",
      "tcp",
    ]);
    // All that there are: what is for any, and so is the link.
    expect(a.links.protocolOf(b.id, a.links.laneOf(["tcp", "ipc"]))).toBe("ipc");
    await vi.waitUntil(() => a.to(b).waiting === 0, SOON);
    expect(a.links.stats().peers.map(({ sent, protocol }) => [sent, protocol])).toEqual([[501, "ipc"]]);
    expect(send("x", ["ws"])).toBe("unreachable");
    expect(a.peers).toEqual([b.id]);
  });

  test("that a message names are those that it goes by, also where they fail for a while and others serve", async () => {
    const tcp = new FakeProtocol();
    const { a, b, by, send } = await pair([new FakeProtocol("ipc"), tcp]);
    for (let i = 0; i < 100; i++) send(String(i), ["tcp"]);
    await b.until(() => b.items.length === 100);
    tcp.fails = true;
    for (let i = 100; i < 200; i++) send(String(i), ["tcp"]);
    tcp.cut();
    await a.until(() => a.pings.length >= 2);
    expect(a.links.protocolOf(b.id, a.links.laneOf(["tcp"]))).toBe("");
    sendAll(a, b, 1);
    await b.until(() => b.texts.includes("item 0"));
    tcp.fails = false;
    await b.until(() => b.items.length === 201);
    expect(b.texts.filter((text) => text !== "item 0")).toEqual(
      Array.from({ length: 200 }, (_, i) => `${i}`),
    );
    expect(by.filter((protocol) => protocol === "ipc").length).toBe(1);
    // What a lane has is kept while its peer is lost.
    const release = b.hold();
    send("held", ["tcp"]);
    await b.until(() => b.texts.includes("held"));
    await vi.waitUntil(() => a.to(b).waiting === 1, SOON);
    world.changed(b, "lost");
    expect(a.to(b)).toMatchObject({ waiting: 1, lost: 0 });
    release();
    expect(send("again", ["tcp"])).toBe("sent");
    await b.until(() => b.texts.includes("again"));
    world.changed(b, "gone");
    expect(a.links.stats().peers).toEqual([]);
  });

  test("that a message names hold where the peer has no others just then, and has them again before it leaves", async () => {
    const tcp = new FakeProtocol();
    const { a, b, by, send } = await pair([new FakeProtocol("ipc"), tcp]);
    const { advert } = b;
    // Its listener of ipc is withdrawn, and nothing gets through by tcp for a moment.
    b.advert = advert?.replace(/;ipc=[^;]*/, "");
    expect(b.advert).not.toBe(advert);
    world.changed(b, "alive");
    tcp.fails = true;
    expect(send("named", ["tcp"])).toBe("sent");
    await a.until(() => a.pings.includes(b.id));
    b.advert = advert;
    world.changed(b, "alive");
    sendAll(a, b, 1);
    await b.until(() => b.texts.includes("item 0"));
    tcp.fails = false;
    await b.until(() => b.items.length === 2);
    expect(b.items.map(({ text }, at) => `${text} by ${by[at]}`)).toEqual(["item 0 by ipc", "named by tcp"]);
  });

  test("that did not reach a node are asked again with the next message that names them", async () => {
    let reaches = (): boolean => false;
    const tcp = Object.assign(new FakeProtocol(), { reaches: () => reaches() });
    const { b, by, send } = await pair([new FakeProtocol("ipc"), tcp]);
    expect(send("one", ["tcp"])).toBe("unreachable");
    reaches = () => {
      throw new Error("not now");
    };
    expect(send("two", ["tcp"])).toBe("unreachable");
    reaches = () => true;
    expect(send("three", ["tcp"])).toBe("sent");
    await b.until(() => b.items.length === 1);
    expect([b.texts, by]).toEqual([["three"], ["tcp"]]);
  });

  test("that a message names hold also while it is not known how the peer is reached", async () => {
    const { a, b, by, send } = await pair();
    await deliver(a, b, 1);
    const named = (): unknown => [send("named", ["tcp"]), a.links.protocolOf(b.id, a.links.laneOf(["tcp"]))];
    world.changed(b, "lost");
    world.hidden.add(b.id);
    expect(named()).toEqual(["unreachable", ""]);
    // It is back, and its details are not here.
    world.unknown.add(b.id);
    world.hidden.delete(b.id);
    expect(named()).toEqual(["unreachable", ""]);
    world.unknown.delete(b.id);
    expect(send("named", ["tcp"])).toBe("sent");
    sendAll(a, b, 1, 1);
    await b.until(() => b.items.length === 3);
    expect(b.items.map(({ text }, at) => `${text} by ${by[at]}`).sort()).toEqual([
      "item 0 by ipc",
      "item 1 by ipc",
      "named by tcp",
    ]);
  });

  test("that messages name have links that close when idle, and no more than so many lists have one", async () => {
    const names = ["pa", "pb", "pc", "pd"];
    const made = (): LinkProtocol[] => names.map((name) => new FakeProtocol(name));
    const [a, b] = await world.pair({ protocols: made(), idle: 100 }, { protocols: made() });
    const lists = names.flatMap((one, at) => [[one], ...names.slice(at + 1).map((other) => [one, other])]);
    const lanes = lists.slice(0, MAX_LANES).map((list) => a.links.laneOf(list));
    const protocols = await Promise.all(lanes.map((lane) => linked(a.links, b.id, lane)));
    expect(protocols).toEqual(lists.slice(0, MAX_LANES).map(([first]) => first));
    for (const list of lists.slice(MAX_LANES))
      expect(() => a.links.laneOf(list)).toThrow(expect.objectContaining({ code: "EFSM" }));
    await vi.waitUntil(() => lanes.every((lane) => a.links.protocolOf(b.id, lane) === ""), SOON);
    expect(await linked(a.links, b.id, a.links.laneOf(["pa"]))).toBe("pa");
  });

  test("of lanes are another's no more than those of the link: one life, one lane a connection", async () => {
    const b = await world.node("b", { protocols: [new FakeProtocol()] });
    const [one, two, three] = [new Raw(b), new Raw(b, 1), new Raw(b, 1)];
    admit(one);
    expect(decodeAck(await one.hello())).toMatchObject({ session: 0 });
    expect(decodeAck(await two.hello({ from: one.id }))).toMatchObject({ delivered: 0 });
    expect(decodeRefused(await two.hello({ from: one.id, lane: 2 }))).toBe("malformed");
    expect(decodeRefused(await three.hello({ from: one.id, life: "11".repeat(8) }))).toBe("session");
    // The link stood all the time.
    one.give(batchOf(0, "still here"));
    await b.until(() => b.texts.includes("still here"));
    for (const each of [one, two, three]) each.close();
  });
});

describe("a program's own protocol", () => {
  const nothing = (): never => ({}) as never;
  const mine = (changes: object): LinkProtocol =>
    ({
      name: "mine",
      reaches: () => true,
      listen: nothing,
      connect: nothing,
      ...changes,
    }) as never;

  test("that gives no listener, or an advert that cannot be sent, is left out alone; it is closed with the node", async () => {
    const closed: unknown[] = [];
    const withAdvert = (advert: unknown) => ({ advert, close: async () => void closed.push(advert) });
    const throwing = Object.defineProperty(withAdvert("throws"), "advert", {
      get: () => {
        throw new Error("a listener without an advert yet");
      },
    });
    for (const listener of [
      undefined,
      {},
      withAdvert(5),
      withAdvert("a;b"),
      withAdvert("\ud800"),
      throwing,
    ]) {
      const a = await world.node("a", {
        protocols: [mine({ listen: async () => listener }), new FakeProtocol()],
      });
      expect([...(decodeAdvert(a.advert)?.protocols.keys() ?? [])]).toEqual(["tcp"]);
      expect(a.failures).toEqual([["", "mine", expect.stringContaining("listener")]]);
      await a.links.close(0);
    }
    expect(closed).toEqual([5, "a;b", "\ud800", "throws"]);
  });

  test("that does not listen in time is left out, and its listener is closed when it comes", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    let come: ((listener: ProtocolListener) => void) | undefined;
    const listen = (): Promise<ProtocolListener> => new Promise((resolve) => (come = resolve));
    const starting = world.node("a", { protocols: [mine({ listen }), new FakeProtocol()] });
    await vi.advanceTimersByTimeAsync(LISTEN_TIMEOUT);
    const a = await starting;
    expect([...(decodeAdvert(a.advert)?.protocols.keys() ?? [])]).toEqual(["tcp"]);
    expect(a.failures).toEqual([["", "mine", `it does not listen within ${LISTEN_TIMEOUT} ms`]]);
    const close = vi.fn(async () => undefined);
    come?.({ advert: "x", close });
    await vi.waitFor(() => expect(close).toHaveBeenCalledOnce());
  });

  test("listens together with the others, and is advertised in its place", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const late = async (): Promise<ProtocolListener> => {
      await new Promise((resolve) => setTimeout(resolve, 100));
      return { advert: "x", close: async () => undefined };
    };
    const never = (): Promise<never> => new Promise(() => undefined);
    const protocols = [
      mine({ listen: late }),
      mine({ name: "one", listen: never }),
      mine({ name: "two", listen: never }),
      new FakeProtocol(),
    ];
    const starting = world.node("a", { protocols });
    await vi.advanceTimersByTimeAsync(LISTEN_TIMEOUT);
    const a = await starting;
    expect([...(decodeAdvert(a.advert)?.protocols.keys() ?? [])]).toEqual(["mine", "tcp"]);
    expect(a.failures.map(([, name]) => name)).toEqual(["one", "two"]);
  });

  test("that listens while its node closes keeps no start waiting, and is closed when close ends", async () => {
    let come: ((listener: ProtocolListener) => void) | undefined;
    const listen = (): Promise<ProtocolListener> => new Promise((resolve) => (come = resolve));
    const a = new LinksNode(world, "a", { protocols: [mine({ listen }), new FakeProtocol()] });
    const starting = a.links.start();
    const closing = a.links.close(0);
    await starting;
    let closed = false;
    const close = async (): Promise<void> => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      closed = true;
    };
    come?.({ advert: "x", close });
    await closing;
    expect([closed, a.advert, a.failures]).toEqual([true, undefined, []]);
  });

  test("is not asked to listen once its node is closed, and no timer is left", async () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    let asked = 0;
    const listen = async (): Promise<ProtocolListener> => {
      asked += 1;
      return { advert: "x", close: async () => undefined };
    };
    const a = new LinksNode(world, "a", { protocols: [mine({ listen })] });
    await a.links.close(0);
    await a.links.start();
    const timers = vi.getTimerCount();
    vi.useRealTimers();
    expect([asked, timers]).toEqual([0, 0]);
  });

  test("whose listener fails, or does not end, does not keep its node from closing", async () => {
    const failed = (): never => {
      throw new Error("it fails");
    };
    for (const close of [failed, async () => failed(), () => new Promise<void>(() => undefined)]) {
      const listen = async (): Promise<ProtocolListener> => ({ advert: "x", close });
      const a = await world.node("a", { protocols: [mine({ listen })] });
      await a.links.close(0);
    }
  });

  test.each([
    [
      "throws",
      (): never => {
        throw undefined;
      },
      "undefined",
    ],
    ["gives a promise", async (): Promise<never> => Promise.reject(new Error("late")), "synchronous"],
  ])("that %s when it is asked for a way gives way to the next one", async (_, reaches, reason) => {
    const listen = async (): Promise<ProtocolListener> => ({ advert: "x", close: async () => undefined });
    const b = await world.node("b", { protocols: [mine({ listen }), new FakeProtocol()] });
    const a = await world.node("a", { protocols: [mine({ listen, reaches }), new FakeProtocol()] });
    await deliver(a, b, 3);
    expect(a.links.protocolOf(b.id)).toBe("tcp");
    expect(a.failures).toEqual([[b.id, "mine", expect.stringContaining(reason)]]);
  });
});

describe("what a receiver may not do", () => {
  test("answer a greeting over and over, so that everything is sent again each time", async () => {
    const sent: number[] = [];
    let stream: FakeStream | undefined;
    const tcp = new FakeProtocol();
    tcp.connect = async () => {
      const [here, there] = FakeStream.pair();
      here.onSent = ([type]) => void sent.push(type as number);
      stream = there;
      return here as never;
    };
    const [a, b] = await world.pair({ protocols: [tcp] });
    sendAll(a, b, 3);
    await vi.waitUntil(() => sent.length > 0, SOON);
    for (let i = 0; i < 5; i++) stream?.sendMessages(undefined, [Buffer.of(0), encodeAck(0, 0)]);
    await a.until(() => a.peers.length === 1);
    await new Promise((resolve) => setImmediate(resolve));
    expect(sent).toEqual([LinkFrame.HELLO, LinkFrame.BATCH]);
    expect(a.to(b)).toMatchObject({ waiting: 3, resent: 0 });
  });

  test("forget each session at once, so that it is greeted, and gets all routes, without a pause", async () => {
    let greeted = 0;
    const tcp = new FakeProtocol();
    tcp.connect = async () => {
      const [here, there] = FakeStream.pair();
      const answer = (bytes: Buffer): void => {
        const hello = decodeHello(bytes.subarray(1));
        if (hello !== undefined) greeted += 1;
        const frame = hello === undefined ? encodeRefused("forgotten") : encodeAck(hello.session, 0);
        there.sendMessages(undefined, [Buffer.of(0), frame]);
      };
      there.owner = {
        onMessages: (_stream, bytes) => {
          answer(bytes);
          return true;
        },
        onEnd: () => undefined,
      };
      return here as never;
    };
    let isUp = (): void => undefined;
    const [a, b] = await world.pair({ protocols: [tcp], effects: { onUp: () => isUp() } });
    isUp = () => void a.send(b, "routes");
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    a.send(b, "first");
    for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect([greeted, a.to(b).state]).toEqual([2, "waiting: refused: forgotten"]);
  });
});

describe("what a peer may not do", () => {
  let node: LinksNode;
  let raw: Raw;
  beforeEach(async () => {
    node = await world.node("node");
    raw = new Raw(node);
    admit(raw);
  });
  afterEach(() => raw.close());

  const one = Buffer.from([2, 1, 65]);

  test("greet for another node, as the node itself, or as a stranger", async () => {
    for (const [changes, reason] of [
      [{ to: createId() }, "other-node"],
      [{ from: node.id }, "other-node"],
      [{ from: createId() }, "stranger"],
    ] as const) {
      raw.close();
      raw = new Raw(node);
      world.nodes.set(raw.id, world.nodes.get(node.id) as LinksNode);
      expect(decodeRefused(await raw.hello(changes))).toBe(reason);
    }
    expect(node.links.stats().refused).toEqual({ stranger: 1, "other-node": 2 });
  });

  test("send items before a hello, in a wrong order, malformed, or more than it may", async () => {
    expect(await raw.send(batch(0, 1, one))).toBe("no-hello");
    const faults: [Buffer[], string][] = [
      [[batch(1, 1, one)], "sequence"],
      [[batch(0, 2, one)], "malformed"],
      [[batch(0, 0, Buffer.alloc(3))], "malformed"],
      [[batch(0, 1, Buffer.from([2, 200, 200, 200, 200, 200, 200, 200, 200, 200]))], "malformed"],
      [[batch(0, 1, Buffer.concat([one, one]))], "malformed"],
      [[Buffer.from([LinkFrame.BATCH])], "malformed"],
      [[Buffer.from([LinkFrame.BATCH, 0, 0, 0, 0, 0, 0])], "malformed"],
      [[Buffer.from([99])], "malformed"],
      [[Buffer.alloc(0)], "malformed"],
    ];
    for (const [frames, reason] of faults) {
      raw.close();
      const { id } = raw;
      raw = new Raw(node);
      world.nodes.set(raw.id, world.nodes.get(id) as LinksNode);
      expect(decodeAck(await raw.hello())).toEqual({ session: 0, delivered: 0 });
      expect(await raw.send(...frames)).toBe(reason);
    }
    expect(node.links.stats().refused).toMatchObject({ sequence: 1, malformed: 8 });
  });

  test("have a second life next to the first; its own session it takes over", async () => {
    expect(decodeAck(await raw.hello())).toBeDefined();
    raw.give(batch(0, 1, one));
    await node.until(() => node.items.length === 1);
    const second = new Raw(node);
    expect(decodeRefused(await second.hello({ from: raw.id, life: "11".repeat(8) }))).toBe("session");
    second.close();
    const third = new Raw(node);
    expect(decodeAck(await third.hello({ from: raw.id }))).toEqual({ session: 0, delivered: 1 });
    // What the first one still sends concerns nobody.
    third.give(batch(1, 1, one));
    await node.until(() => node.items.length === 2);
    third.close();
  });

  test("have a second life once the membership says that the first one has ended, though its connection stands", async () => {
    await raw.hello();
    raw.give(batch(0, 1, one));
    await node.until(() => node.items.length === 1);
    node.links.onMember(raw.id, "alive");
    const early = new Raw(node);
    expect(decodeRefused(await early.hello({ from: raw.id, life: "11".repeat(8) }))).toBe("session");
    early.close();
    node.links.onMember(raw.id, "gone");
    node.links.onMember(raw.id, "alive");
    const second = new Raw(node);
    expect(decodeAck(await second.hello({ from: raw.id, life: "11".repeat(8) }))).toMatchObject({
      delivered: 0,
    });
    second.give(batch(0, 1, one));
    await node.until(() => node.items.length === 2);
    // That was for one life.
    const third = new Raw(node);
    expect(decodeRefused(await third.hello({ from: raw.id, life: "22".repeat(8) }))).toBe("session");
    second.close();
    third.close();
  });

  test("send what is malformed while a handler takes its time: it is refused when that is found", async () => {
    const other = Buffer.from([2, 1, 66]);
    // In the batch that is held, at its end, and in one behind it.
    for (const frames of [
      [batch(0, 3, Buffer.concat([one, other, Buffer.from([2, 9, 66])]))],
      [batch(0, 1, Buffer.concat([one, other]))],
      [batch(0, 1, one), batch(1, 2, other), batch(3, 1, other)],
    ]) {
      const count = node.items.length;
      const release = node.hold("A");
      expect(decodeAck(await raw.hello())).toBeDefined();
      for (const frame of frames) raw.give(frame);
      await node.until(() => node.items.length === count + 1);
      const answer = raw.receive();
      release();
      expect(decodeRefused(await answer)).toBe("malformed");
      // Nothing behind it is delivered.
      expect(node.texts.slice(count).filter((text) => text === "B").length).toBeLessThan(2);
      raw.close();
      raw = new Raw(node);
      admit(raw);
    }
    expect(node.links.stats().refused).toEqual({ malformed: 3 });
  });

  test("greet as a node whose key it has not proved, or for another lane than that of its message", async () => {
    expect(decodeRefused(await raw.hello({ lane: 1 }))).toBe("malformed");
    raw.stream.other.node = { id: createId() };
    expect(decodeRefused(await raw.hello())).toBe("key");
    expect([node.claimed, node.links.stats().refused]).toEqual([[raw.id], { malformed: 1, key: 1 }]);
    raw.stream.other.node = { id: raw.id };
    expect(decodeAck(await raw.hello())).toBeDefined();
  });

  test("greet as one node and then as another, whose place it would take", async () => {
    await raw.hello();
    const member = createId();
    world.nodes.set(member, world.nodes.get(raw.id) as LinksNode);
    expect(decodeRefused(await raw.hello({ from: member }))).toBe("malformed");
    // Its own id is free again, for another life of it.
    const next = new Raw(node);
    expect(decodeAck(await next.hello({ from: raw.id, life: "11".repeat(8) }))).toBeDefined();
    next.close();
  });

  test("use a kind that this node does not know: the item is skipped and counted", async () => {
    await raw.hello();
    raw.give(batch(0, 2, Buffer.concat([Buffer.from([77, 1, 65]), one])));
    await node.until(() => node.items.length === 1);
    expect(node.links.stats().refused).toEqual({ kind: 1 });
  });

  test("send more than its window while the program does not take it", async () => {
    node.handler = () => new Promise(() => undefined);
    await raw.hello();
    const body = Buffer.alloc(1_000_000);
    raw.give(batch(0, 1, one));
    let sequence = 1;
    const head = (): Buffer => {
      const frame = Buffer.from([LinkFrame.BATCH, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0xc0, 0x84, 0x3d]);
      frame.writeUIntBE(sequence++, 1, 6);
      return frame;
    };
    for (let i = 0; i < 8; i++) raw.give(head(), body);
    expect(decodeRefused(await raw.receive())).toBe("flood");
  });
});
