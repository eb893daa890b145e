/**
 * What our sockets send, byte by byte as libzmq does; and what libzmq sends, taken by our sockets: the same bytes written at once and
 * each byte in a packet of its own, so that everything that can be split is.
 */
import { describe, expect, it } from "vitest";
import { Router } from "../../src/index.js";
import { describeEngines, itIf } from "../contract/support/engines.js";
import { nextEvent, within } from "../contract/support/wait.js";
import type { World } from "../contract/support/world.js";
import { ERROR, ERROR_PLAIN, PLAIN_HELLO, PLAIN_WELCOME, READY_DEALER, READY_PUB } from "./mechanism.js";
import { RawWire, ready } from "./raw-wire.js";
import * as wire from "./wire.js";

const PLAIN_GREETING = wire.GREETING.replace("4e554c4c00", "504c41494e");
/** READY of a DEALER with the Identity ABC. */
const READY_ABC = READY_DEALER.replace("0429", "042c").replace("00000000", "00000003414243");

/**
 * Options by which a PLAIN server asks `allows` about its clients: `authenticate`, or on libzmq none, and a ZAP handler of the
 * world's context (27/ZAP).
 */
async function plainCheck(
  world: World,
  allows: (username: string, password: string) => boolean,
): Promise<object> {
  if (world.engine !== "libzmq")
    return { authenticate: ({ username = "", password = "" }) => allows(username, password) };
  const handler = world.own(new Router({ context: world.context, linger: 0 }));
  await handler.bind("inproc://zeromq.zap.01");
  const answerAll = async (): Promise<void> => {
    for await (const [peer, empty, version, id, , , , , username, password] of handler) {
      const status = allows(String(username), String(password)) ? "200" : "400";
      await handler.send([peer, empty, version, id, status, "", "", ""] as (Buffer | string)[]);
    }
  };
  answerAll().catch(() => undefined);
  return {};
}

type AnySocket = Parameters<World["bind"]>[0];

describe.each(["at once", "byte by byte"] as const)("captured bytes %s", (pace) => {
  describeEngines("are understood", (world) => {
    const receive = async (socket: { receive(): Promise<unknown> }): Promise<string[]> =>
      ((await within(socket.receive(), "a message")) as Buffer[]).map((frame) => frame.toString("latin1"));

    function write(peer: RawWire, bytes: string): unknown {
      return pace === "at once" ? peer.write(bytes) : peer.trickle(bytes);
    }

    /** Greets a bound socket of ours, and sends READY when it has sent its own. */
    async function shaken(socket: AnySocket, its: string, greeting = wire.GREETING): Promise<RawWire> {
      const peer = await RawWire.at(world, socket);
      await write(peer, greeting);
      await within(peer.read(64), "a greeting");
      await within(peer.readFrame(), "READY");
      await write(peer, its);
      return peer;
    }

    it("a DEALER's READY, with an empty Identity and with one", async () => {
      const router = world.router();
      const unnamed = await shaken(router, READY_DEALER);
      await write(unnamed, wire.ENVELOPE);
      const [id, ...frames] = await receive(router);
      expect([id?.length, id?.[0], ...frames]).toEqual([5, "\u0000", "a", "", "b"]);
      const other = world.router();
      await write(await shaken(other, READY_ABC), wire.ENVELOPE);
      expect(await receive(other)).toEqual(["ABC", "a", "", "b"]);
    });

    it("frames of 255 and 256 bytes, empty ones, and many", async () => {
      const pull = world.pull();
      const peer = await shaken(pull, ready("PUSH"));
      await write(peer, `${wire.FRAME_255}${wire.FRAME_256}0000${wire.ENVELOPE}`);
      expect(await receive(pull)).toEqual(["\u00ff".repeat(255)]);
      expect(await receive(pull)).toEqual(["\u00ff".repeat(256)]);
      expect(await receive(pull)).toEqual([""]);
      expect(await receive(pull)).toEqual(["a", "", "b"]);
    });

    it("requests of a REQ, with and without an id, and their envelopes", async () => {
      const reply = world.reply();
      const peer = await shaken(reply, ready("DEALER"));
      await write(peer, wire.REQUEST);
      expect(await receive(reply)).toEqual(["Hi"]);
      await reply.send("R");
      expect(await within(peer.readFrame(), "the delimiter")).toBe("0100");
      expect(await peer.readFrame()).toBe("000152");
      await write(peer, `${wire.CORRELATED[0]}6a983ce4${wire.CORRELATED[1]}`);
      expect(await receive(reply)).toEqual(["Hi"]);
      await reply.send("R");
      expect(await within(peer.readFrame(), "the id")).toBe("01046a983ce4");
      expect(await peer.readFrame()).toBe("0100");
      expect(await peer.readFrame()).toBe("000152");
      await write(peer, wire.REPLY_REQUEST);
      expect(await receive(reply)).toEqual(["Q"]);
      await reply.send("R");
      expect(await within(peer.read(wire.REPLY.length / 2), "the reply")).toBe(wire.REPLY);
    });

    it("a reply", async () => {
      const request = world.request();
      const peer = await shaken(request, ready("REP"));
      await request.send("Hi");
      expect(await within(peer.read(wire.REQUEST.length / 2), "the request")).toBe(wire.REQUEST);
      await write(peer, "01000001520000"); // R, and what nobody asked for.
      expect(await receive(request)).toEqual(["R"]);
    });

    it.each([
      ["3.1", wire.GREETING],
      ["3.0", wire.GREETING_30],
    ])("subscriptions in both forms, of a peer of %s", async (_, greeting) => {
      for (const [on, off] of [
        [wire.SUBSCRIBE, wire.CANCEL],
        [wire.SUBSCRIBE_MESSAGE, wire.CANCEL_MESSAGE],
      ] as const) {
        const publisher = world.xPublisher();
        const peer = await shaken(publisher, ready("SUB"), greeting);
        await write(peer, on);
        expect(await receive(publisher)).toEqual(["\u0001A"]);
        await publisher.send(["Away", "B"]);
        await publisher.send("B");
        await publisher.send("A");
        expect(await within(peer.read(12), "what matches")).toBe("0104417761790001420001" + "41");
        await write(peer, off);
        expect(await receive(publisher)).toEqual(["\u0000A"]);
        await publisher.close({ linger: 0 });
      }
    });

    it("PING between the frames of a message", async () => {
      const pull = world.pull();
      const peer = await shaken(pull, ready("PUSH"));
      await write(peer, `010161${wire.PING_CONTEXT}${wire.PING}000162`);
      expect(await within(peer.readFrame(), "PONG")).toBe(wire.PONG_CONTEXT);
      expect(await receive(pull)).toEqual(["a", "b"]);
    });

    it("PLAIN, as server and as client", async () => {
      const server = world.reply({
        plainServer: true,
        zapDomain: "vectors",
        ...(await plainCheck(world, (name, password) => name === "admin" && password === "secret")),
      });
      const peer = await RawWire.at(world, server);
      await write(peer, PLAIN_GREETING + PLAIN_HELLO);
      await within(peer.read(64), "a greeting");
      expect(await within(peer.readFrame(), "WELCOME")).toBe(PLAIN_WELCOME);
      const initiate = ready("REQ").replace(/^04..055245414459/, "");
      const body = `08494e495449415445${initiate}`;
      await write(peer, `04${(body.length / 2).toString(16).padStart(2, "0")}${body}`);
      expect(await within(peer.readFrame(), "READY")).toBe(ready("REP"));
      await write(peer, wire.REQUEST);
      expect(await receive(server)).toEqual(["Hi"]);
    });

    it.each([
      ["as libzmq misspells it", ERROR_PLAIN],
      ["as it should be", ERROR],
    ])("PLAIN's ERROR, %s", async (spelling, error) => {
      // libzmq itself understands its own spelling only, and takes the other for a fault of the protocol.
      const known = world.engine === "zmtp" || spelling === "as libzmq misspells it";
      const type = known ? "handshake:error:auth" : "handshake:error:protocol";
      const client = world.request({ plainUsername: "admin", plainPassword: "secret" });
      const failed = new Promise<unknown>((resolve) => client.events.once(type, resolve as never));
      const peer = await RawWire.at(world, client);
      await write(peer, PLAIN_GREETING);
      await within(peer.read(64), "a greeting");
      expect(await within(peer.readFrame(), "HELLO")).toBe(PLAIN_HELLO);
      await write(peer, error);
      expect(await within(failed, "the event")).toMatchObject(known ? { error: { status: 400 } } : {});
    });
  });
});

describeEngines("sends the bytes that libzmq sends", (world) => {
  const ours = world.engine === "zmtp";

  /** A raw peer of a type whose handshake with a bound socket of ours is done. */
  async function shaken(
    socket: Parameters<World["bind"]>[0],
    type: string,
    greeting = wire.GREETING,
  ): Promise<RawWire> {
    const peer = await RawWire.at(world, socket);
    await within(peer.greet(greeting), "their READY");
    peer.write(ready(type));
    return peer;
  }

  it("the greeting", async () => {
    const peer = await RawWire.at(world, world.dealer());
    peer.write(wire.GREETING);
    expect(await within(peer.read(64), "a greeting")).toBe(wire.GREETING);
  });

  it("READY, with an Identity where the type has one", async () => {
    const dealer = await RawWire.at(world, world.dealer());
    expect(await within(dealer.greet(), "READY")).toBe(READY_DEALER);
    // With libzmq, a Publisher is an XPUB underneath, to see its subscriptions.
    const pub = await RawWire.at(world, world.publisher());
    expect(await within(pub.greet(), "READY")).toBe(ours ? READY_PUB : ready("XPUB"));
  });

  it("SUBSCRIBE and CANCEL, as commands to 3.1 and as messages to 3.0", async () => {
    for (const [greeting, on, off] of [
      [wire.GREETING, wire.SUBSCRIBE, wire.CANCEL],
      [wire.GREETING_30, wire.SUBSCRIBE_MESSAGE, wire.CANCEL_MESSAGE],
    ] as const) {
      const subscriber = world.subscriber();
      subscriber.subscribe("A");
      const joined = new Promise((resolve) => subscriber.events.once("peer:join", resolve));
      const receiving = subscriber.receive().catch(() => undefined); // libzmq's works only while its program asks.
      const peer = await shaken(subscriber, "PUB", greeting);
      expect(await within(peer.readFrame(), "SUBSCRIBE")).toBe(on);
      await joined;
      subscriber.unsubscribe("A");
      expect(await within(peer.readFrame(), "CANCEL")).toBe(off);
      await subscriber.close({ linger: 0 });
      await receiving;
    }
  });

  it("an XSUB application's subscription: a command here, a message from libzmq", async () => {
    const subscriber = world.xSubscriber();
    const joined = new Promise((resolve) => subscriber.events.once("peer:join", resolve));
    const peer = await shaken(subscriber, "XPUB");
    await joined;
    await subscriber.send(Buffer.from("\u0001A"));
    const expected = ours ? wire.SUBSCRIBE : wire.SUBSCRIBE_MESSAGE;
    expect(await within(peer.read(expected.length / 2), "the subscription")).toBe(expected);
  });

  it("PING with its time to live", async () => {
    const socket = world.dealer({
      heartbeatInterval: 30,
      heartbeatTimeToLive: 3_000,
      heartbeatTimeout: 5_000,
    });
    const peer = await shaken(socket, "DEALER");
    expect(await within(peer.readFrame(), "PING")).toBe(wire.PING);
  });

  it("a REQ's request with an id, which counts up", async () => {
    const correlated = world.request({ correlate: true, relaxed: true });
    const other = await shaken(correlated, "REP");
    const [before, behind] = wire.CORRELATED;
    const ids: number[] = [];
    for (let i = 0; i < 2; i++) {
      await correlated.send("Hi");
      expect(await within(other.read(2), "an id")).toBe(before);
      const id = Buffer.from(await other.read(4), "hex");
      // A number for itself alone; libzmq's has the bytes in the machine's order.
      ids.push(ours ? id.readUInt32BE() : id.readUInt32LE());
      expect(await other.read(behind.length / 2)).toBe(behind);
    }
    expect(((ids[0] as number) + 1) >>> 0).toBe(ids[1]);
  });

  it("frames of up to 255 bytes with a short size, longer ones with a long one", async () => {
    const push = world.push();
    const peer = await shaken(push, "PULL");
    await push.send(Buffer.alloc(255, 0xff));
    expect(await within(peer.read(257), "255 bytes")).toBe(wire.FRAME_255);
    await push.send(Buffer.alloc(256, 0xff));
    expect(await within(peer.read(265), "256 bytes")).toBe(wire.FRAME_256);
  });

  it("ERROR of a PLAIN server, which libzmq misspells", async () => {
    const check = await plainCheck(world, () => false);
    const judge = world.dealer({ plainServer: true, zapDomain: "vectors", ...check });
    const stranger = await RawWire.at(world, judge);
    stranger.write(PLAIN_GREETING + PLAIN_HELLO);
    await within(stranger.read(64), "a greeting");
    expect(await within(stranger.readFrame(), "ERROR")).toBe(ours ? ERROR : ERROR_PLAIN);
  });
});

describeEngines("what libzmq takes and we do not", (world) => {
  const test = itIf(world.engine, world.engine === "zmtp", "libzmq ignores the broken command");

  test("SUBSCRIBE with a topic of 254 bytes, which libzmq encodes wrongly, ends the connection", async () => {
    const publisher = world.publisher();
    const peer = await RawWire.at(world, publisher);
    await within(peer.greet(), "READY");
    const left = nextEvent(publisher, "peer:leave");
    peer.write(ready("SUB") + wire.SUBSCRIBE_BROKEN);
    expect(await left).toMatchObject({ reason: "protocol" });
    await within(peer.closed, "the close");
  });
});
