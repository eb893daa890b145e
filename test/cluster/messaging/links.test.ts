/** Links between nodes in virtual time: what they keep, by which protocol they go, and what an end of one may not do. */
import { describe, expect, it, vi } from "vitest";
import { MAX_NEW_MEMBERS } from "../../../src/cluster/bounds.js";
import { NO_DETAILS } from "../../../src/cluster/details.js";
import { createId } from "../../../src/cluster/identity.js";
import {
  ClusterNode,
  type ClusterNodeOptions,
  type MessageProtocol,
  type ProtocolListener,
  streamProtocol,
} from "../../../src/cluster/index.js";
import { LISTEN_TIMEOUT } from "../../../src/cluster/messaging/bounds.js";
import { MessageKind } from "../../../src/cluster/messaging/parts.js";
import {
  decodeAck,
  decodeAdvert,
  decodeRefused,
  encodeLooseHead,
  encodeRefused,
  LinkFrame,
  MESSAGES_PROP,
} from "../../../src/cluster/messaging/wire.js";
import type { NodeStream } from "../../../src/cluster/net/stream.js";
import { ignore } from "../../../src/core/waiter.js";
import { curveKeyPair } from "../../../src/index.js";
import { simulate, type World } from "../../../src/testing/index.js";
import { gate } from "../../support/gate.js";
import { watch } from "../../support/settled.js";
import { eventsOf, KEY, onOneHost, pause, SETTLED } from "../simulated.js";
import { eagerPair, MemoryProtocol } from "./memory-protocol.js";
import { RawReceiver, RawSender } from "./raw-ends.js";
import { throwing } from "./throwing.js";
import { withMessaging } from "./with-messaging.js";

const texts = (count: number, from = 0): string[] => Array.from({ length: count }, (_, i) => `${from + i}`);
const never = (): Promise<never> => new Promise(() => undefined);

function linkTo(from: ClusterNode, to: ClusterNode) {
  const link = from.stats().messaging?.links.peers.find(({ id }) => id === to.id);
  if (link === undefined) throw new Error("there is no link");
  return link;
}

const protocolOf = (from: ClusterNode, to: ClusterNode): string => linkTo(from, to).protocol;

/** Items that come to a node, other than publications. Its program takes each at once, or after a promise. */
function itemsOf(node: ClusterNode, handler: (item: string) => Promise<void> | undefined = () => undefined) {
  const items: string[] = [];
  const { messaging } = node.parts.messages;
  const { topics } = messaging;
  vi.spyOn(messaging, "onItem").mockImplementation((from, item) => {
    const { kind, frame, start, end } = item;
    if (kind === MessageKind.PUBLISH) return topics.onPublish(from, frame, start, end);
    items.push(String(item.view()));
    return handler(String(item.view()));
  });
  return items;
}

/** What a subscription of a node gets, and what a send of another one is. */
function topic(node: ClusterNode, options = {}): string[] {
  const got: string[] = [];
  node.subscribe("t", options, ({ data }) => void got.push(String(data)));
  return got;
}

function publishAll(from: ClusterNode, all: readonly string[]): void {
  for (const text of all) void from.publish("t", text, { self: false });
}

type Story<N extends string, More> = (all: Record<N, ClusterNode> & More, world: World) => Promise<void>;

/** Two nodes, of which a has the protocol "wire" before "tcp", and so has b. */
function wired(story: Story<"a" | "b", { wire: MemoryProtocol; got: string[] }>): Promise<void> {
  const wire = new MemoryProtocol("wire");
  const messaging = { protocols: [wire.protocol, "tcp"] as const };
  return withMessaging(messaging, ["a", "b"], async ({ a, b }, world) => {
    const got = topic(b);
    await world.advance(SETTLED);
    await story({ a, b, wire, got }, world);
  });
}

function batch(sequence: number, count: number, body: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head[0] = LinkFrame.BATCH;
  head.writeUIntBE(sequence, 1, 6);
  head.writeUInt16BE(count, 7);
  return Buffer.concat([head, body]);
}

function batchOf(first: number, ...items: string[]): Buffer {
  const body = items.map((item) => `\u0004${String.fromCharCode(item.length)}${item}`);
  return batch(first, items.length, Buffer.from(body.join("")));
}

/** A node n, and members e and f that mean harm. */
function hostile(
  story: Story<"n" | "e" | "f", { raw: RawSender }>,
  options: (name: "n" | "e" | "f") => ClusterNodeOptions = () => ({}),
): Promise<void> {
  return onOneHost(
    ["n", "e", "f"],
    async (nodes, world) => story({ ...nodes, raw: await RawSender.open(nodes.e, nodes.n) }, world),
    options,
  );
}

const refusedBy = (node: ClusterNode) => node.stats().messaging?.links.refused;

describe("acknowledgements", () => {
  /** A sender that keeps so much. @returns gives items, and waits for the next acknowledgement: its count, and how long it took */
  async function sender(raw: RawSender, world: World, maxWaiting: number, maxWaitingBytes: number) {
    expect(decodeAck(await raw.hello({ maxWaiting, maxWaitingBytes }))).toBeDefined();
    let sequence = 0;
    let since = world.now;
    return {
      give: async (after: number, ...items: string[]): Promise<void> => {
        await world.advance(after);
        since = world.now;
        raw.give(batchOf(sequence, ...items));
        sequence += items.length;
      },
      acked: async (): Promise<[number | undefined, number]> => {
        const delivered = decodeAck(await raw.receive())?.delivered;
        return [delivered, Math.round(world.now - since)];
      },
    };
  }

  it("wait for more items, and for 20 ms at most", () =>
    hostile(async ({ raw }, world) => {
      const { give, acked } = await sender(raw, world, 1_000, 1_000_000);
      await give(0, ..."12345");
      expect(await acked()).toEqual([5, 20]);
      await give(80, "6");
      await give(9, "7");
      expect(await acked()).toEqual([7, 11]);
    }));

  it("do not wait when half of the items or bytes came that the sender keeps, or when it does not say what it keeps", () =>
    hostile(async ({ n, e, raw }, world) => {
      const { give, acked } = await sender(raw, world, 6, 1_000_000);
      await give(0, "1", "2");
      await give(1, "3");
      expect(await acked()).toEqual([3, 0]);
      raw.close();
      for (const [session, bytes] of [100, 0].entries()) {
        const small = await RawSender.open(e, n);
        const hello = { session: session + 1, maxWaiting: 0 < bytes ? 1_000 : 0, maxWaitingBytes: bytes };
        await small.hello(hello);
        const start = world.now;
        small.give(batchOf(0, "x".repeat(100)));
        expect(decodeAck(await small.receive())?.delivered).toBe(1);
        expect(world.now - start).toBeLessThan(1);
        small.close();
      }
    }));
});

describe("links with a node that was just met", () => {
  /** @returns changes what a node knows of the other one */
  function knows(node: ClusterNode, other: ClusterNode): (details: object) => void {
    const { links } = node.parts.messages;
    const live = links.live.bind(links);
    let known = {};
    vi.spyOn(links, "live").mockImplementation((id) => Object.setPrototypeOf({ ...known }, live(id) ?? null));
    return (details) => {
      known = details;
      links.onMember(other.id, "alive");
    };
  }

  it("are refused until it knows the details of their sender, and stand then", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      const learn = knows(b, a);
      learn({ hasDetails: false });
      const sent = a.sendTo(a.addressOf(b.id), "early");
      await world.until(() => (refusedBy(b)?.stranger ?? 0) > 0);
      learn({});
      await sent;
    }));

  it("keep what is sent until its details say that it takes no messages, and are not waited for then", () =>
    onOneHost(["a", "b"], async ({ a, b }) => {
      const learn = knows(a, b);
      learn({ hasDetails: false, details: NO_DETAILS });
      expect((await a.send({ members: ["b"], data: "early" })).sent.length).toBe(1);
      expect(linkTo(a, b)).toMatchObject({ state: "idle", waiting: 1 });
      const closed = a.close({ linger: -1 });
      learn({ hasDetails: true, details: NO_DETAILS });
      await closed;
    }));

  it("keep a bounded number of invented ones waiting, and nothing once those are lost", () =>
    onOneHost(["a", "b"], async ({ a, b }) => {
      const { links } = a.parts.messages;
      knows(a, b)({ hasDetails: false, details: NO_DETAILS, isLive: true, name: "ghost" });
      const ghosts = Array.from({ length: MAX_NEW_MEMBERS + 1 }, createId) as [string, ...string[]];
      const give = (id: string) => links.send(id, MessageKind.DIRECT, Buffer.from("x"));
      expect(ghosts.map(give).indexOf("unreachable")).toBe(MAX_NEW_MEMBERS);
      expect(a.stats().dropped["messages:stranger"]).toBe(1);
      const dropped = eventsOf(a, "message:dropped");
      for (const id of ghosts) links.onMember(id, "lost");
      expect(dropped[0]).toMatchObject({ reason: "gone", count: 1 });
      expect(links.stats().peers).toEqual([]);
      expect(give(ghosts[0])).toBe("sent");
    }));
});

describe("links between two nodes", () => {
  it("have more time with each greeting that was not answered: a peer that is slow is not kept busy", () =>
    onOneHost(
      ["a", "b"],
      async ({ a, b }, world) => {
        const mute = new RawReceiver(b);
        mute.isMute = true;
        a.sendTo(a.addressOf(b.id), "hello", { timeout: -1 }).catch(ignore);
        const took: number[] = [];
        for (let count = 1; count <= 6; count++) {
          const start = world.now;
          await world.until(() => mute.greetings === count);
          took.push((world.now - start) / 1_000);
        }
        // After each a pause of 2 s at most.
        for (const [i, limit] of [0, 3, 6, 12, 24, 24].entries()) {
          expect(took[i]).toBeGreaterThanOrEqual(limit);
          expect(took[i]).toBeLessThan(limit + 2.1);
        }
        expect(linkTo(a, b)).toMatchObject({ waiting: 1, lost: 0 });
      },
      { profile: "tcl" },
    ));

  it("are no failure when their connection ends while nothing waits, and the next item dials again", () =>
    wired(async ({ a, b, wire, got }, world) => {
      const failures = eventsOf(a, "protocol:failed");
      publishAll(a, texts(3));
      await world.advance(SETTLED);
      expect(linkTo(a, b)).toMatchObject({ delivered: 3, protocol: "wire" });
      const { attempts } = wire;
      wire.cut();
      await world.advance(SETTLED);
      expect([failures, linkTo(a, b).state]).toEqual([[], "idle"]);
      publishAll(a, texts(3, 3));
      await world.advance(SETTLED);
      expect([got, wire.attempts, failures]).toEqual([texts(6), attempts + 1, []]);
    }));

  it("keep what is sent while their failure is reported for the next stream", () =>
    wired(async ({ a, wire, got }, world) => {
      const large = "x".repeat(100_000);
      publishAll(a, texts(1));
      await world.advance(SETTLED);
      a.events.once("protocol:failed", () => publishAll(a, [large]));
      publishAll(a, texts(1, 1));
      wire.cut();
      await world.advance(SETTLED);
      expect(got).toEqual([...texts(2), large]);
    }));

  it("lose what waits for a peer that is gone: it is counted and reported once, but for changes of routes", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      const dropped = eventsOf(a, "message:dropped");
      b.subscribe("t", { maxQueue: 1 }, never);
      await world.advance(SETTLED);
      publishAll(a, texts(11));
      a.subscribe("last", ignore);
      await world.advance(SETTLED);
      await b.close({ linger: 0 });
      await world.advance(SETTLED);
      expect(dropped).toMatchObject([{ reason: "gone", node: b.id, count: 10 }]);
      expect(a.stats().messaging?.links.peers).toEqual([]);
    }));

  it("begin again when the receiver forgets their sender, which does not wait for what was in flight", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      const [failed, dropped] = [eventsOf(a, "protocol:failed"), eventsOf(a, "message:dropped")];
      b.subscribe("t", { maxQueue: 1 }, never);
      await world.advance(SETTLED);
      publishAll(a, texts(11));
      await world.advance(SETTLED);
      expect(linkTo(a, b).waiting).toBe(10);
      for (let i = 0; i < 2; i++) {
        b.remove(a.id);
        b.admit(a.id);
        await world.advance(5_000);
      }
      expect(linkTo(a, b)).toMatchObject({ waiting: 0, lost: 10, state: "up" });
      expect([failed, dropped]).toMatchObject([[], [{ reason: "gone", node: b.id, count: 10 }]]);
    }));

  it("have a wait for room by bytes end with an acknowledgement, and when the peer is gone", () =>
    withMessaging({ highWaterMarkBytes: 1_000 }, ["a", "b"], async ({ a, b }, world) => {
      topic(b);
      await world.advance(SETTLED);
      const { passed, open } = gate();
      itemsOf(b, () => passed);
      const held = a.sendTo(a.addressOf(b.id), "x".repeat(400));
      await world.advance(SETTLED);
      const publish = () => watch(a.publish("t", "y".repeat(700), { onFull: "wait" }));
      const [first, room] = [publish(), watch(a.parts.messages.links.room(b.id, 700))];
      await world.advance(SETTLED);
      expect([first.state, room.state]).toEqual(["pending", "pending"]);
      open();
      await held;
      await world.advance(SETTLED);
      expect([first.value, room.state]).toEqual([1, "fulfilled"]);
      itemsOf(b, never);
      a.sendTo(a.addressOf(b.id), "x".repeat(400)).catch(ignore);
      const last = publish();
      await b.close({ linger: 0 });
      await world.advance(SETTLED);
      // The link had it.
      expect(last.value).toBe(1);
    }));

  it("lose an item alone where this node throws at it, and count that", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      const items = itemsOf(b, (item) => {
        if (item.endsWith("1")) throw new Error("no");
        return undefined;
      });
      for (const text of texts(3)) await a.sendTo(a.addressOf(b.id), text);
      await world.advance(SETTLED);
      expect([items.length, linkTo(a, b).delivered, refusedBy(b)]).toEqual([3, 3, { handler: 1 }]);
    }));

  it("end with their stream, which its initiator closes when it has no link on it and nothing comes by it", () => {
    const wire = new MemoryProtocol("wire");
    const protocols = [wire.protocol];
    const messaging = (name: string) => ({ protocols, idle: name === "b" ? 3_600_000 : 1_000 });
    return withMessaging(messaging, ["a", "b"], async ({ a, b }, world) => {
      const failures = eventsOf(b, "protocol:failed");
      const items = itemsOf(a);
      const send = async (text: string, after: number): Promise<void> => {
        b.sendTo(b.addressOf(a.id), text).catch(ignore);
        await world.advance(after);
      };
      const areOpen = (): boolean => wire.streams.some(({ destroyed }) => !destroyed);
      await a.sendTo(a.addressOf(b.id), "dials");
      for (const text of texts(3)) await send(text, 10_000);
      expect([wire.attempts, areOpen()]).toEqual([1, true]);
      await world.advance(20_000);
      expect([linkTo(b, a).state, areOpen()]).toEqual(["idle", false]);
      await send("3", SETTLED);
      await send("4", 60_000);
      expect([items.length, wire.attempts, areOpen(), failures]).toEqual([5, 2, true, []]);
    });
  });

  it("bring answers within a handler where a stream is in memory: they wait for it, and for what came before", () => {
    const { protocol } = new MemoryProtocol("wire", eagerPair);
    return withMessaging({ protocols: [protocol] }, ["a", "b"], async ({ a, b }, world) => {
      const large = (text: string): string => text.padEnd(70_000);
      const send = (from: ClusterNode, to: ClusterNode, text: string): void =>
        void from.sendTo(from.addressOf(to.id), text).catch(ignore);
      b.subscribe("self", ({ data }) => send(b, a, large(`answer ${data}`)));
      const { passed, open } = gate();
      const log: string[] = [];
      a.subscribe("self", ({ data }) => {
        const text = String(data).trim();
        log.push(text);
        if (text === "0") return passed;
        if (text === "1" || text === "3") send(a, b, large(text));
        log.push(`end of ${text}`);
        return undefined;
      });
      send(a, b, "");
      await world.advance(SETTLED);
      log.length = 0;
      for (const text of texts(3)) send(b, a, text);
      await world.advance(SETTLED);
      open();
      await world.advance(SETTLED);
      send(b, a, "3");
      await world.advance(SETTLED);
      const whole = (text: string): string[] => [text, `end of ${text}`];
      expect(log).toEqual(["0", ...["1", "2", "answer 1", "3", "answer 3"].flatMap(whole)]);
    });
  });

  it("deliver what waits when they close with linger; without it, it is lost", () =>
    onOneHost(["a", "b", "c"], async ({ a, b, c }, world) => {
      const got = topic(b);
      await world.advance(SETTLED);
      publishAll(a, texts(100));
      await a.close({ linger: 5_000 });
      expect(got.length).toBe(100);
      publishAll(c, texts(100));
      await c.close({ linger: 0 });
      await world.advance(SETTLED);
      expect(got.length).toBe(100);
    }));
});

describe("protocols", () => {
  /** What a sends to b by protocols that it names, and what comes by which. */
  function begin({ a, b }: Record<"a" | "b", ClusterNode>, wire: MemoryProtocol) {
    const came: string[] = [];
    b.onMessage(({ data, protocol }) => void came.push(`${data} ${protocol}`));
    const send = async (data: string, names?: readonly string[]): Promise<unknown> => {
      const options = names === undefined ? {} : { protocols: names };
      const { failed } = await a.send({ members: ["b"], data, ...options });
      const error = failed[0]?.error;
      return error && `${error.code}: ${error.message}`;
    };
    return { a, b, wire, came, send };
  }

  /** @param idle of a */
  function named(
    story: (all: ReturnType<typeof begin>, world: World) => Promise<void>,
    more: readonly MemoryProtocol[] = [],
    idle = 1_000,
  ): Promise<void> {
    const wire = new MemoryProtocol("wire");
    const protocols = ["tcp", wire.protocol, ...more.map(({ protocol }) => protocol)] as const;
    const messaging = (name: string) => ({ protocols, idle: name === "a" ? idle : 1_000 });
    return withMessaging(messaging, ["a", "b"], (pair, world) => story(begin(pair, wire), world));
  }

  it("that a message names are those that it goes by, next to the link, in order each", () =>
    named(async ({ a, b, came, send }, world) => {
      for (let i = 0; i < 300; i++) {
        void send(`named ${i}`, ["wire", "ws"]);
        if (i < 200) void send(`any ${i}`);
      }
      // By the node's order.
      void send("all", ["wire", "tcp"]);
      await world.advance(SETTLED);
      const by = (kind: string) => came.filter((each) => each.startsWith(kind));
      expect(by("named")).toEqual(Array.from({ length: 300 }, (_, i) => `named ${i} wire`));
      expect(by("any")).toEqual(Array.from({ length: 200 }, (_, i) => `any ${i} tcp`));
      expect(by("all")).toEqual(["all tcp"]);
      expect(linkTo(a, b)).toMatchObject({ sent: 200, protocol: "tcp" });
      expect(await send("x", ["ws"])).toContain("is not reached by ws");
    }));

  it("that a message names have it fail where they fail, and others serve; the next message tries them again", () =>
    named(async ({ a, b, wire, came, send }, world) => {
      const failed = `EHOSTUNREACH: ${b.self.name} is not reached by wire: wire: it fails`;
      wire.fails = true;
      const sends = ["1", "2"].map((text) => send(text, ["wire"]));
      const asked = a.query({ members: ["b"], protocols: ["wire"], data: "3" }).collect();
      expect(await send("other")).toBeUndefined();
      expect(await Promise.all(sends)).toEqual([failed, failed]);
      expect((await asked).failed).toMatchObject([{ error: { code: "EHOSTUNREACH", retryable: true } }]);
      expect(a.stats().memberMessages).toMatchObject({ sent: 1, failed: 3 });
      wire.fails = false;
      expect(await send("4", ["wire"])).toBeUndefined();
      await world.advance(SETTLED);
      wire.fails = true;
      wire.cut();
      await world.advance(SETTLED);
      expect(await send("5", ["wire"])).toBe(failed);
      expect(await send("6", ["wire", "tcp"])).toBeUndefined();
      await world.advance(SETTLED);
      expect(came.sort()).toEqual(["4 wire", "6 tcp", "other tcp"]);
    }));

  it("that a message names and that hang have it fail after 3 s, or go by the next one", () => {
    const [hang, late] = [new MemoryProtocol("hang"), new MemoryProtocol("late")];
    Object.assign(hang.protocol, { connect: never });
    return named(
      async ({ b, came, send }, world) => {
        const start = world.now;
        const text = `EHOSTUNREACH: ${b.self.name} is not reached by hang: hang: timeout`;
        expect(await send("1", ["hang"])).toBe(text);
        expect(await send("2", ["hang", "late"])).toBeUndefined();
        expect((world.now - start) / 1_000).toBeCloseTo(6, 0);
        await world.advance(SETTLED);
        expect(came).toEqual(["2 late"]);
      },
      [hang, late],
    );
  });

  it("that a message names have it fail at once when the node closes", () => {
    const hang = new MemoryProtocol("hang");
    Object.assign(hang.protocol, { connect: never });
    return named(
      async ({ a, send }, world) => {
        const held = send("x", ["hang"]);
        await world.advance(100);
        await a.close({ linger: 0 });
        expect(await held).toContain("is not reached by hang: hang: closed");
      },
      [hang],
    );
  });

  it("that a message names do not take what is larger than the member, nor what a peer does not read", () =>
    named(async ({ a, b, send }) => {
      expect(await send("x", ["wire"])).toBeUndefined();
      const { links } = a.parts.messages;
      vi.spyOn(links.streams, "answer").mockReturnValueOnce(false);
      expect(await send("x", ["wire"])).toBe(`EAGAIN: the link to ${b.self.name} is full`);
      const [way] = links.waysBy(b.id, ["wire"]);
      if (way === undefined) throw new Error("there is no way");
      expect(await links.sendBy(way, Buffer.alloc(links.maxItem + 1))).toBe("too-large");
    }));

  it("that a message names have it fail, or go by the next one, where the stream ends as it opens", () =>
    named(async ({ a, b, came, send }, world) => {
      const { streams } = a.parts.messages.links;
      const open = streams.open.bind(streams);
      vi.spyOn(streams, "open").mockImplementation(async (way) => {
        const stream = await open(way);
        if (way.protocol.name === "wire") (stream as NodeStream).destroy();
        return stream;
      });
      const ended = `EHOSTUNREACH: ${b.self.name} is not reached by wire: wire: the stream has ended`;
      expect(await send("1", ["wire"])).toBe(ended);
      expect(await send("2", ["wire", "tcp"])).toBeUndefined();
      await world.advance(SETTLED);
      expect(came).toEqual(["2 tcp"]);
    }));

  it("give way to a better one that works again while nothing waits, without a failure, and without a message lost or repeated", () => {
    const better = new MemoryProtocol("better", () => eagerPair(20));
    better.fails = true;
    const protocols = [better.protocol, new MemoryProtocol("wire").protocol];
    return withMessaging({ protocols }, ["a", "b"], async ({ a, b }, world) => {
      const got = topic(b);
      await world.advance(SETTLED);
      publishAll(a, texts(1));
      await world.advance(SETTLED);
      expect(protocolOf(a, b)).toBe("wire");
      better.fails = false;
      const failures = eventsOf(a, "protocol:failed");
      let count = 1;
      for (; protocolOf(a, b) !== "better"; count++) {
        publishAll(a, texts(1, count));
        await world.advance(1_000);
      }
      await world.advance(SETTLED);
      expect([got, failures]).toEqual([texts(count), []]);
      expect(count).toBeLessThan(50);
    });
  });

  it("that never answer hold messages up less and less often", () => {
    const better = new MemoryProtocol("better");
    Object.assign(better.protocol, { connect: never });
    const protocols = [better.protocol, new MemoryProtocol("wire").protocol];
    return withMessaging({ protocols }, ["a", "b"], async ({ a, b }, world) => {
      const got = topic(b);
      await world.advance(10_000);
      const late: number[] = [];
      for (let second = 0; second < 900; second++) {
        publishAll(a, texts(1, second));
        await world.advance(1_000);
        if (got.length <= second) late.push(second);
      }
      await world.advance(20_000);
      expect(got).toEqual(texts(900));
      expect(late.length).toBeLessThan(25);
    });
  });

  it("that did not reach a node are asked again with the next message that names them", () => {
    const late = new MemoryProtocol("late");
    let reaches = (): boolean => false;
    Object.assign(late.protocol, { reaches: () => reaches() });
    return named(
      async ({ came, send }, world) => {
        expect(await send("one", ["late"])).toContain("is not reached");
        reaches = throwing(new Error("not now"));
        expect(await send("two", ["late"])).toContain("is not reached");
        reaches = () => true;
        expect(await send("three", ["late"])).toBeUndefined();
        await world.advance(SETTLED);
        expect(came).toEqual(["three late"]);
      },
      [late],
    );
  });
});

describe("a program's own protocol", () => {
  const mine = (changes: object): MessageProtocol =>
    streamProtocol({ name: "mine", listen: never, connect: never, reaches: () => true, ...changes });

  const LISTENER: ProtocolListener = { advert: "x", close: async () => undefined };

  /** Of a node that has just started: protocols that it advertises. */
  const advertised = (node: ClusterNode): unknown[] => {
    const { self } = node.parts.rules;
    return [...(decodeAdvert(self.details.props[MESSAGES_PROP])?.protocols.keys() ?? [])];
  };

  function alone(
    protocols: readonly (MessageProtocol | "tcp")[],
    story: (node: ClusterNode, failed: unknown[][], world: World) => Promise<void>,
  ): Promise<unknown> {
    return simulate({ seed: 1, shrink: false }, async (world) => {
      const node = new ClusterNode({ messaging: { protocols, idle: 1_000 } });
      const failed: unknown[][] = [];
      node.events.on("protocol:failed", ({ protocol, reason }) => void failed.push([protocol, reason]));
      await story(node, failed, world);
    });
  }

  it("that gives no listener, or an advert that cannot be sent, is left out alone; it is closed with the node", async () => {
    const closed: unknown[] = [];
    const withAdvert = (advert: unknown) => ({ advert, close: async () => void closed.push(advert) });
    const get = throwing(new Error("a listener without an advert yet"));
    const without = Object.defineProperty(withAdvert("throws"), "advert", { get });
    const bad = [undefined, {}, withAdvert(5), withAdvert("a;b"), withAdvert("\ud800"), without];
    for (const listener of bad)
      await alone([mine({ listen: async () => listener }), "tcp"], async (node, failed) => {
        await node.start();
        expect(advertised(node)).toEqual(["tcp"]);
        expect(failed).toEqual([["mine", expect.stringContaining("listener")]]);
        await node.close({ linger: 0 });
      });
    expect(closed).toEqual([5, "a;b", "\ud800", "throws"]);
  });

  it("listens together with the others; the start waits for 10 s, and what listens later is advertised then", () => {
    let come: ((listener: ProtocolListener) => void) | undefined;
    const late = (): Promise<ProtocolListener> => pause(100).then(() => LISTENER);
    const protocols = [
      mine({ listen: late }),
      mine({ name: "one", listen: () => new Promise((resolve) => (come = resolve)) }),
      mine({ name: "two" }),
      "tcp",
    ] as const;
    return alone(protocols, async (node, failed, world) => {
      await node.start();
      expect([world.now, advertised(node)]).toEqual([expect.closeTo(LISTEN_TIMEOUT, -2), ["tcp", "mine"]]);
      come?.(LISTENER);
      await world.until(() => advertised(node).length === 3, 1_000);
      expect([advertised(node), failed]).toEqual([["tcp", "mine", "one"], []]);
    });
  });

  it("that listens while its node closes keeps no start waiting, and is closed when close ends", () => {
    let come: ((listener: ProtocolListener) => void) | undefined;
    const listen = (): Promise<ProtocolListener> => new Promise((resolve) => (come = resolve));
    return alone([mine({ listen }), "tcp"], async (node, failed, world) => {
      const starting = node.start();
      await world.until(() => come !== undefined);
      const closing = node.close({ linger: 0 });
      await expect(starting).rejects.toMatchObject({ code: "EBADF" });
      let closed = false;
      const close = async (): Promise<void> => {
        await pause(50);
        closed = true;
      };
      come?.({ advert: "x", close });
      await closing;
      expect([closed, failed]).toEqual([true, []]);
    });
  });

  it("whose listener fails, or does not end, does not keep its node from closing", async () => {
    const failed = throwing(new Error("it fails"));
    for (const close of [failed, async () => failed(), never]) {
      const listen = async (): Promise<ProtocolListener> => ({ advert: "x", close });
      await alone([mine({ listen })], async (node) => {
        await node.start();
        await node.close({ linger: 0 });
      });
    }
  });

  it("without a listener sends all the same, over connections that close when idle", () => {
    const wire = new MemoryProtocol("wire");
    const deaf = { ...wire.protocol, listen: () => Promise.reject(new Error("no port is free")) };
    const times = { idle: 1_000, settle: 10_000 };
    const messaging = (name: string) => ({ protocols: [name === "a" ? deaf : wire.protocol], ...times });
    return withMessaging(messaging, ["a", "b"], async ({ a, b }, world) => {
      const got = topic(b);
      await a.publish("t", "x");
      await world.advance(SETTLED);
      expect([got, protocolOf(a, b)]).toEqual([["x"], "wire"]);
      await world.advance(5_000);
      expect(linkTo(a, b).state).toBe("idle");
      expect(b.stats().messaging?.links.peers).toEqual([]);
    });
  });

  it("that throws, or gives a promise, when it is asked for a way gives way to the next one", async () => {
    for (const [reaches, reason] of [
      [throwing(undefined), "undefined"],
      [async (): Promise<never> => Promise.reject(new Error("late")), "synchronous"],
    ] as const) {
      const protocols = [mine({ listen: async () => LISTENER, reaches }), "tcp"] as const;
      await withMessaging({ protocols }, ["a", "b"], async ({ a, b }, world) => {
        const failed = eventsOf(a, "protocol:failed");
        const got = topic(b);
        await world.advance(SETTLED);
        publishAll(a, texts(3));
        await world.advance(SETTLED);
        expect([got, protocolOf(a, b)]).toEqual([texts(3), "tcp"]);
        const failure = { node: b.id, protocol: "mine", reason: expect.stringContaining(reason) };
        expect(failed).toMatchObject([failure]);
      });
    }
  });

  it("that fails as a message goes to all nodes may have its member removed: the others get it", () => {
    let first = "";
    const reaches = ({ id }: { readonly id: string }): boolean => {
      if (id === first) throw new Error("no");
      return false;
    };
    const protocols = [mine({ listen: async () => LISTENER, reaches }), "tcp"] as const;
    return withMessaging({ protocols }, ["a", "b", "c", "d"], async ({ a, b, c, d }, world) => {
      const got = [b, c, d].map((node) => itemsOf(node));
      a.events.once("protocol:failed", () => a.remove(first));
      first = a.parts.rules.live[0]?.id ?? "";
      expect(await a.sendToNodes("x")).toBe(3);
      await world.advance(SETTLED);
      expect(got.flat()).toHaveLength(2);
    });
  });
});

describe("what a receiver may not do", () => {
  it("answer a greeting over and over, so that everything is sent again each time", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      const raw = new RawReceiver(b);
      for (const text of texts(3)) a.sendTo(a.addressOf(b.id), text).catch(ignore);
      await world.until(() => raw.greetings === 1);
      for (let i = 0; i < 5; i++) raw.acknowledge(0);
      await world.advance(SETTLED);
      expect(raw.frames.map(([type]) => type)).toEqual([LinkFrame.BATCH]);
      expect([raw.greetings, linkTo(a, b)]).toMatchObject([1, { waiting: 3, resent: 0 }]);
    }));

  it("forget a session, so that its sender waits for it when it closes", () =>
    onOneHost(["a", "b"], async ({ a, b }) => {
      const raw = new RawReceiver(b);
      raw.onItems = () => {
        raw.isMute = true;
        return encodeRefused("forgotten");
      };
      a.sendTo(a.addressOf(b.id), "x").catch(ignore);
      await a.close({ linger: -1 });
      expect(raw.greetings).toBe(1);
    }));

  it("forget a session, and greet no more, so that a wait for room at it lasts while nothing waits there", () =>
    withMessaging({ highWaterMark: 1 }, ["a", "b"], async ({ a, b }, world) => {
      const raw = new RawReceiver(b);
      raw.onItems = () => {
        raw.isMute = true;
        return encodeRefused("forgotten");
      };
      a.sendTo(a.addressOf(b.id), "x").catch(ignore);
      const room = watch(a.parts.messages.links.room(b.id));
      await world.until(() => raw.isMute);
      await world.advance(60_000);
      expect([linkTo(a, b).waiting, room.value]).toEqual([0, true]);
    }));

  it("forget each session at once, so that it is greeted, and gets all routes, without a pause", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      const raw = new RawReceiver(b);
      raw.onItems = () => encodeRefused("forgotten");
      a.subscribe("t", ignore);
      await world.until(() => raw.greetings === 2);
      await world.until(() => linkTo(a, b).state.startsWith("waiting"));
      expect([raw.greetings, linkTo(a, b).state]).toEqual([2, "waiting: refused: forgotten"]);
      await world.advance(10_000);
      expect(raw.greetings).toBeLessThan(20);
    }));

  it("forget each session and read nothing: it is greeted again once it has read", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      const { streams } = a.parts.messages.links;
      const open = vi.spyOn(streams, "open");
      const raw = new RawReceiver(b);
      raw.onItems = () => encodeRefused("forgotten");
      a.subscribe("t", ignore);
      await world.until(() => raw.greetings === 1);
      const stream = (await open.mock.results[0]?.value) as NodeStream;
      const isFull = vi.spyOn(stream, "isFull", "get").mockReturnValue(true);
      await world.advance(10_000);
      expect([raw.greetings, linkTo(a, b).state]).toEqual([1, "waiting: tcp: the other end does not read"]);
      isFull.mockReturnValue(false);
      await world.until(() => raw.greetings > 1);
    }));
});

describe("what a sender may not do", () => {
  const one = Buffer.from([4, 1, 65]);

  it("greet for another node, as the node itself, or as a stranger", () =>
    hostile(async ({ n, raw }) => {
      for (const [changes, reason] of [
        [{ to: createId() }, "other-node"],
        [{ from: n.id }, "other-node"],
        [{ from: createId() }, "stranger"],
      ] as const)
        expect(decodeRefused(await raw.hello(changes))).toBe(reason);
      expect(refusedBy(n)).toEqual({ stranger: 1, "other-node": 2 });
    }));

  it("send items before a hello, in a wrong order, malformed, or more than it may", () =>
    hostile(async ({ n, raw }) => {
      expect(await raw.send(batch(0, 1, one))).toBe("no-hello");
      const faults: [Buffer, string][] = [
        [batch(1, 1, one), "sequence"],
        [batch(0, 2, one), "malformed"],
        [batch(0, 0, Buffer.alloc(3)), "malformed"],
        [batch(0, 1, Buffer.from([4, 200, 200, 200, 200, 200, 200, 200, 200, 200])), "malformed"],
        [batch(0, 1, Buffer.concat([one, one])), "malformed"],
        [Buffer.from([LinkFrame.BATCH]), "malformed"],
        [Buffer.from([LinkFrame.BATCH, 0, 0, 0, 0, 0, 0]), "malformed"],
        [Buffer.from([99]), "malformed"],
      ];
      for (const [session, [frame, reason]] of faults.entries()) {
        expect(decodeAck(await raw.hello({ session }))).toEqual({ session, delivered: 0 });
        expect(await raw.send(frame)).toBe(reason);
      }
      expect(refusedBy(n)).toMatchObject({ sequence: 1, malformed: 7 });
    }));

  it("have a second life next to the first; its own session it takes over", () =>
    hostile(async ({ n, e, f, raw }, world) => {
      const items = itemsOf(n);
      expect(decodeAck(await raw.hello())).toBeDefined();
      raw.give(batch(0, 1, one));
      const other = await RawSender.open(f, n);
      expect(decodeRefused(await other.hello({ from: e.id, life: "11".repeat(8) }))).toBe("session");
      expect(decodeAck(await other.hello({ from: e.id }))).toEqual({ session: 0, delivered: 1 });
      // It may be the greeting of before that came later: then the first one greets again.
      let told = await raw.receive();
      while (decodeAck(told) !== undefined) told = await raw.receive();
      expect(decodeRefused(told)).toBe("no-hello");
      // What the first one still sends concerns nobody.
      other.give(batch(1, 1, one));
      await world.advance(SETTLED);
      expect(items.length).toBe(2);
    }));

  it("have a second life once the membership says that the first one has ended, though its connection stands", () =>
    hostile(async ({ n, e, f, raw }, world) => {
      const items = itemsOf(n);
      const { links } = n.parts.messages;
      await raw.hello();
      raw.give(batch(0, 1, one));
      const other = await RawSender.open(f, n);
      const next = (life: string) => other.hello({ from: e.id, life: life.repeat(8) });
      links.onMember(e.id, "alive");
      expect(decodeRefused(await next("11"))).toBe("session");
      links.onMember(e.id, "gone");
      links.onMember(e.id, "alive");
      expect(decodeAck(await next("11"))).toMatchObject({ delivered: 0 });
      other.give(batch(0, 1, one));
      await world.advance(SETTLED);
      expect(items.length).toBe(2);
      // That was for one life.
      raw.close();
      const third = await RawSender.open(e, n);
      expect(decodeRefused(await third.hello({ life: "22".repeat(8) }))).toBe("session");
    }));

  it("send items without a link as another node, for another one, or as a stranger: they are dropped", () =>
    hostile(async ({ n, e, f, raw }, world) => {
      const items = itemsOf(n);
      const loose = (to: string, from: string, text: string): void =>
        raw.give(Buffer.concat([encodeLooseHead(to, from), Buffer.from(text)]));
      loose(n.id, e.id, "good");
      loose(f.id, e.id, "other");
      loose(n.id, n.id, "own");
      loose(n.id, createId(), "stranger");
      raw.give(encodeLooseHead(n.id, e.id).subarray(0, 20));
      await world.advance(SETTLED);
      expect(items).toEqual(["good"]);
      expect(refusedBy(n)).toEqual({ "other-node": 2, stranger: 1, malformed: 1 });
    }));

  it("send what is malformed while a handler takes its time: it is refused when that is found", () =>
    hostile(async ({ n, raw }, world) => {
      let release = (): void => undefined;
      const items = itemsOf(n, (item) =>
        item === "A" ? new Promise((resolve) => (release = resolve)) : undefined,
      );
      const other = Buffer.from([4, 1, 66]);
      // In the batch that is held, at its end, and in one behind it.
      for (const [session, frames] of [
        [batch(0, 3, Buffer.concat([one, other, Buffer.from([4, 9, 66])]))],
        [batch(0, 1, Buffer.concat([one, other]))],
        [batch(0, 1, one), batch(1, 2, other), batch(3, 1, other)],
      ].entries()) {
        items.length = 0;
        expect(decodeAck(await raw.hello({ session }))).toBeDefined();
        raw.give(...frames);
        await world.until(() => items.length === 1);
        await world.advance(SETTLED);
        const answer = raw.receive();
        release();
        expect(decodeRefused(await answer)).toBe("malformed");
        // Nothing behind it is delivered.
        expect(items.filter((text) => text === "B").length).toBeLessThan(2);
      }
      expect(refusedBy(n)).toEqual({ malformed: 3 });
    }));

  it("send what is malformed, and have it count as received in the same session: it is refused again, and a right one taken", () =>
    hostile(async ({ n, raw }) => {
      const { passed, open } = gate();
      const items = itemsOf(n, (item) => (item === "A" ? passed : undefined));
      const bad = batch(1, 2, Buffer.from([4, 1, 66, 4, 9, 67]));
      const delivered = async (sent: number) => decodeAck(await raw.hello({ sent }))?.delivered;
      expect(await delivered(0)).toBe(0);
      raw.give(batchOf(0, "A"), bad, batchOf(3, "D"));
      const answer = raw.receive();
      open();
      expect(decodeRefused(await answer)).toBe("malformed");
      expect(await delivered(4)).toBe(2);
      expect(await raw.send(batch(2, 1, Buffer.from([4, 9, 67])))).toBe("malformed");
      expect(await delivered(4)).toBe(2);
      raw.give(batchOf(2, "C", "D"));
      expect(decodeAck(await raw.receive())?.delivered).toBe(4);
      expect(items).toEqual([..."ABCD"]);
    }));

  it("greet as one node and then as another, whose place it would take", () =>
    hostile(async ({ f, raw }) => {
      expect(decodeAck(await raw.hello())).toBeDefined();
      expect(decodeRefused(await raw.hello({ from: f.id }))).toBe("malformed");
      // Its own id is free again, for another life of it.
      expect(decodeAck(await raw.hello({ life: "11".repeat(8) }))).toBeDefined();
    }));

  it("greet as a node whose key it has not proved", () => {
    const keys = { n: curveKeyPair(), e: curveKeyPair(), f: curveKeyPair() };
    return hostile(
      async ({ n, f, raw }) => {
        expect(decodeRefused(await raw.hello({ from: f.id }))).toBe("key");
        expect(refusedBy(n)).toEqual({ key: 1 });
        raw.give(encodeLooseHead(n.id, f.id));
        expect(decodeAck(await raw.hello())).toBeDefined();
        expect(refusedBy(n)).toEqual({ key: 2 });
      },
      (name) => ({
        key: KEY,
        curve: { ...keys[name], allow: Object.values(keys).map(({ publicKey }) => publicKey) },
      }),
    );
  });

  it("send more than its window while the program does not take it", () =>
    hostile(async ({ n, raw }) => {
      itemsOf(n, never);
      await raw.hello();
      raw.give(batch(0, 1, one));
      const head = Buffer.from([4, 0xc0, 0x84, 0x3d]);
      for (let i = 1; i <= 8; i++) raw.give(batch(i, 1, Buffer.concat([head, Buffer.alloc(1_000_000)])));
      expect(decodeRefused(await raw.receive())).toBe("flood");
    }));
});
