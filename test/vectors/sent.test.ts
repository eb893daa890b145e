/** What our sockets send, byte by byte as libzmq does: each engine against the same captured bytes. */
import { expect, it } from "vitest";
import { describeEngines, itIf } from "../contract/support/engines.js";
import { curveClient } from "../contract/support/keys.js";
import { nextEvent, within } from "../contract/support/wait.js";
import type { World } from "../contract/support/world.js";
import { ERROR, ERROR_PLAIN, PLAIN_HELLO, PLAIN_WELCOME, READY_DEALER, READY_PUB } from "./mechanism.js";
import { RawWire, ready } from "./raw-wire.js";
import * as wire from "./wire.js";

const PLAIN_GREETING = wire.GREETING.replace("4e554c4c00", "504c41494e");

describeEngines("sends the bytes that libzmq sends", (world) => {
  const ours = world.engine === "zmtp";

  async function raw(endpoint: string): Promise<RawWire> {
    const peer = await RawWire.connect(endpoint);
    world.after(() => peer.destroy());
    return peer;
  }

  /** A raw peer of a type whose handshake with a bound socket of ours is done. */
  async function shaken(
    socket: Parameters<World["bind"]>[0],
    type: string,
    greeting = wire.GREETING,
  ): Promise<RawWire> {
    const peer = await raw(await world.bind(socket));
    await within(peer.greet(greeting), "their READY");
    peer.write(ready(type));
    return peer;
  }

  it("the greeting", async () => {
    const peer = await raw(await world.bind(world.dealer()));
    peer.write(wire.GREETING);
    expect(await within(peer.read(64), "a greeting")).toBe(wire.GREETING);
  });

  it("READY, with an Identity where the type has one", async () => {
    const dealer = await raw(await world.bind(world.dealer()));
    expect(await within(dealer.greet(), "READY")).toBe(READY_DEALER);
    // With libzmq, a Publisher is an XPUB underneath, to see its subscriptions.
    const pub = await raw(await world.bind(world.publisher()));
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

  it("PING with its time to live, and PONG with the peer's context", async () => {
    const socket = world.dealer({
      heartbeatInterval: 30,
      heartbeatTimeToLive: 3_000,
      heartbeatTimeout: 5_000,
    });
    const peer = await shaken(socket, "DEALER");
    expect(await within(peer.readFrame(), "PING")).toBe(wire.PING);
    peer.write(wire.PING_CONTEXT);
    let frame = wire.PING;
    while (frame === wire.PING) frame = await within(peer.readFrame(), "PONG");
    expect(frame).toBe(wire.PONG_CONTEXT);
  });

  it("a REQ's request, with an id that counts up where it is asked for", async () => {
    const plain = world.request();
    const peer = await shaken(plain, "REP");
    await plain.send("Hi");
    expect(await within(peer.read(wire.REQUEST.length / 2), "a request")).toBe(wire.REQUEST);

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

  it("a REP's reply, in the envelope of its request", async () => {
    const reply = world.reply();
    const peer = await shaken(reply, "DEALER");
    peer.write(wire.REPLY_REQUEST);
    expect((await within(reply.receive(), "the request")).map(String)).toEqual(["Q"]);
    await reply.send("R");
    expect(await within(peer.read(wire.REPLY.length / 2), "the reply")).toBe(wire.REPLY);
  });

  it("frames of up to 255 bytes with a short size, longer ones with a long one", async () => {
    const push = world.push();
    const peer = await shaken(push, "PULL");
    await push.send(Buffer.alloc(255, 0xff));
    expect(await within(peer.read(257), "255 bytes")).toBe(wire.FRAME_255);
    await push.send(Buffer.alloc(256, 0xff));
    expect(await within(peer.read(265), "256 bytes")).toBe(wire.FRAME_256);
  });

  it("a DEALER's frames as they are given", async () => {
    const dealer = world.dealer();
    const peer = await shaken(dealer, "ROUTER");
    await dealer.send(["a", "", "b"]);
    expect(await within(peer.read(wire.ENVELOPE.length / 2), "the frames")).toBe(wire.ENVELOPE);
  });

  it("automatic routing ids of a zero byte and a number, to the program alone", async () => {
    const router = world.router();
    const peer = await shaken(router, "DEALER");
    peer.write("000178");
    const [id, body] = (await within(router.receive(), "a message")) as [Buffer, Buffer];
    expect([id.length, id[0], String(body)]).toEqual([5, 0, "x"]);
    await router.send([id, "y"]);
    expect(await within(peer.read(3), "the answer")).toBe("000179");
  });

  it("as STREAM: an empty message when a peer comes, bytes as they are, an empty one when it goes", async () => {
    const stream = world.stream();
    const peer = await raw(await world.bind(stream));
    const [id, nothing] = (await within(stream.receive(), "the notice")) as [Buffer, Buffer];
    expect([id.length, id[0], nothing.length]).toEqual([5, 0, 0]);
    peer.write("68690a");
    expect(await within(stream.receive(), "bytes")).toEqual([id, Buffer.from("hi\n")]);
    await stream.send([id, Buffer.from("ho\n")]);
    expect(await within(peer.read(3), "bytes")).toBe("686f0a");
    peer.destroy();
    expect(await within(stream.receive(), "the notice")).toEqual([id, Buffer.alloc(0)]);
  });

  it("PLAIN: the client's HELLO, the server's WELCOME, and ERROR, which libzmq misspells", async () => {
    const client = world.dealer({ plainUsername: "admin", plainPassword: "secret" });
    const peer = await raw(await world.bind(client));
    expect(await within(peer.greet(PLAIN_GREETING), "HELLO")).toBe(PLAIN_HELLO);

    const judge = world.dealer({
      plainServer: true,
      zapDomain: "vectors",
      authenticate: ({ password }) => password === "secret",
    });
    const friend = await raw(await world.bind(judge));
    friend.write(PLAIN_GREETING + PLAIN_HELLO);
    await within(friend.read(64), "a greeting");
    expect(await within(friend.readFrame(), "WELCOME")).toBe(PLAIN_WELCOME);
    const stranger = await raw(judge.lastEndpoint as string);
    stranger.write(PLAIN_GREETING + PLAIN_HELLO.replace("736563726574", "736563726575"));
    await within(stranger.read(64), "a greeting");
    expect(await within(stranger.readFrame(), "ERROR")).toBe(ours ? ERROR : ERROR_PLAIN);
  });

  it("CURVE: the layout of HELLO's 200 bytes", async () => {
    const peer = await raw(await world.bind(world.dealer(curveClient())));
    const hello = await within(peer.greet(wire.GREETING.replace("4e554c4c00", "4355525645")), "HELLO");
    expect(hello).toHaveLength(2 * (2 + 200));
    const body = Buffer.from(hello, "hex").subarray(2);
    expect(hello.slice(0, 4)).toBe("04c8");
    expect(body.toString("hex", 0, 8)).toBe("0548454c4c4f0100");
    expect(body.subarray(8, 80)).toEqual(Buffer.alloc(72));
    expect(body.readBigUInt64BE(112)).toBe(1n);
  });
});

describeEngines("what libzmq takes and we do not", (world) => {
  const test = itIf(
    world.engine,
    world.engine === "zmtp",
    "libzmq downgrades to them, and ignores the broken command",
  );

  for (const [name, first] of [
    ["ZMTP 2", wire.ZMTP_2],
    ["ZMTP 1", wire.ZMTP_1],
    ["ZMTP 1 with a long length", wire.ZMTP_1_LONG],
  ] as const) {
    test(`a peer of ${name} is refused with an event`, async () => {
      const dealer = world.dealer();
      const endpoint = await world.bind(dealer);
      const failed = nextEvent(dealer, "handshake:error:protocol");
      const peer = await RawWire.connect(endpoint);
      world.after(() => peer.destroy());
      peer.write(first);
      expect((await failed).error.code).toBe("ERR_ZMTP_UNSPECIFIED");
      await within(peer.closed, "the close");
    });
  }

  test("SUBSCRIBE with a topic of 254 bytes, which libzmq encodes wrongly, ends the connection", async () => {
    const publisher = world.publisher();
    const endpoint = await world.bind(publisher);
    const peer = await RawWire.connect(endpoint);
    world.after(() => peer.destroy());
    await within(peer.greet(), "READY");
    const left = nextEvent(publisher, "peer:leave");
    peer.write(ready("SUB") + wire.SUBSCRIBE_BROKEN);
    expect(await left).toMatchObject({ reason: "protocol" });
    await within(peer.closed, "the close");
  });
});
