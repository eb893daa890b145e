/** udp://: RADIO to DISH, and DGRAM. */
import dgram from "node:dgram";
import { type NetworkInterfaceInfo, networkInterfaces } from "node:os";
import { describe, expect, it, vi } from "vitest";
import { Context } from "../../src/index.js";
import { Datagram, Dish, Radio } from "../../src/sockets/draft/index.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { ListedEndpoints } from "../support/listed-endpoints.js";
import { freePort, portOf } from "../support/ports.js";
import { failure, nextEvent, thrown, until } from "./support/wait.js";

const WAIT = { timeout: 15_000 };
const ANY = "udp://127.0.0.1:*";
const context = new Context({ engine: "zmtp" });
const own = closeAfterEach();
const radio = (options = {}): Radio => own(new Radio({ context, ...options }));
const dish = (options = {}): Dish => own(new Dish({ context, ...options }));
const datagram = (options = {}): Datagram => own(new Datagram({ context, ...options }));

/** A socket of node:dgram. */
async function raw(): Promise<dgram.Socket> {
  const socket = dgram.createSocket("udp4");
  own({ close: () => new Promise<void>((resolve) => socket.close(() => resolve())) });
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  return socket;
}

/** @returns sends bytes to a port of this machine */
async function senderTo(port: number): Promise<(bytes: Buffer) => Promise<void>> {
  const socket = await raw();
  return (bytes) =>
    new Promise((resolve, reject) =>
      socket.send(bytes, port, "127.0.0.1", (error) => (error === null ? resolve() : reject(error))),
    );
}

/** A Dish in the group g, and a Radio for it. */
async function linked(bound = ANY): Promise<{ dish_: Dish; radio_: Radio; endpoint: string }> {
  const [dish_, radio_] = [dish(), radio()];
  dish_.join("g");
  const endpoint = await dish_.bind(bound);
  radio_.connect(endpoint);
  return { dish_, radio_, endpoint };
}

describe("RADIO and DISH over udp", () => {
  it("carry the messages of groups, and no others", async () => {
    const dish_ = dish();
    dish_.join("a", "");
    const radio_ = radio();
    radio_.connect(await dish_.bind(ANY));
    await radio_.ready(WAIT);
    await radio_.send("not for it", { group: "b" });
    await radio_.send("one", { group: "a" });
    await radio_.send(Buffer.alloc(0), { group: "" });
    expect(await dish_.receive(WAIT)).toEqual([Buffer.from("one"), { group: Buffer.from("a") }]);
    expect(await dish_.receive(WAIT)).toEqual([Buffer.alloc(0), { group: Buffer.alloc(0) }]);
  });

  it("are on the wire as libzmq has them", async () => {
    const dish_ = dish();
    dish_.join("group");
    const other = await raw();
    other.send(Buffer.from("\u0005groupbody"), portOf(await dish_.bind(ANY)), "127.0.0.1");
    const [body, { group }] = await dish_.receive(WAIT);
    expect([String(body), String(group)]).toEqual(["body", "group"]);
    const radio_ = radio();
    const came = new Promise<Buffer>((resolve) => other.once("message", resolve));
    radio_.connect(`udp://127.0.0.1:${other.address().port}`);
    await radio_.send("BODY", { group: "GROUP" });
    expect((await came).toString("latin1")).toBe("\u0005GROUPBODY");
  });

  it("bound a Radio's messages while it is connected by udp, also by a source, and not after that", async () => {
    const [dish_, radio_] = [dish(), radio()];
    const source = new ListedEndpoints([await dish_.bind(ANY)]);
    const changed = nextEvent(radio_, "source:changed");
    radio_.connect(source);
    await changed;
    const large = Buffer.alloc(9_000);
    expect((await failure(radio_.send(large, { group: "g" }))).code).toBe("EINVAL");
    radio_.disconnect(source);
    await radio_.send(large, { group: "g" });
  });

  it("send what fits 8,192 bytes, and refuse more", async () => {
    const { dish_, radio_ } = await linked();
    await radio_.send(Buffer.alloc(8_190, "x"), { group: "g" });
    expect((await dish_.receive(WAIT))[0]).toHaveLength(8_190);
    expect(await failure(radio_.send(Buffer.alloc(8_191), { group: "g" }))).toMatchObject({ code: "EINVAL" });
    expect(thrown(() => radio_.trySend(Buffer.alloc(8_191), { group: "g" }))).toMatchObject({
      code: "EINVAL",
    });
  });

  it("send everything that was accepted before the socket closes", async () => {
    const dish_ = dish({ receiveHighWaterMark: 0 });
    dish_.join("g");
    const radio_ = new Radio({ context });
    radio_.connect(await dish_.bind(ANY));
    for (let i = 0; i < 100; i++) await radio_.send(`${i}`, { group: "g" });
    expect(await radio_.close({ linger: 5_000 })).toMatchObject({ flushed: 100, discarded: 0 });
    for (let i = 0; i < 100; i++) expect(String((await dish_.receive(WAIT))[0])).toBe(`${i}`);
  });

  it("go to several addresses, as multicast too", async () => {
    const [one, other] = [dish(), dish()];
    const radio_ = radio();
    const endpoint = `udp://127.0.0.1;239.255.77.1:${await freePort()}`;
    for (const each of [one, other]) {
      each.join("g");
      expect(await each.bind(endpoint)).toBe(endpoint);
    }
    radio_.connect(endpoint);
    await radio_.send("to all", { group: "g" });
    for (const each of [one, other]) expect(String((await each.receive(WAIT))[0])).toBe("to all");
  });

  it("throw away junk, and what finds the queue full, and count it", async () => {
    const dish_ = dish({ receiveHighWaterMark: 10 });
    dish_.join("g");
    const port = portOf(await dish_.bind(ANY));
    const send = await senderTo(port);
    const refused = nextEvent(dish_, "invalid");
    await send(Buffer.alloc(0));
    await send(Buffer.from([5, 1, 2]));
    await send(Buffer.alloc(9_000, 1));
    expect((await refused).error.message).toContain("no group and body");
    await until(() => dish_.stats().invalid.frames === 3, "three counted");
    for (let i = 0; i < 50; i++) await send(Buffer.from(`\u0001g${i}`));
    await until(() => dish_.stats().invalid.full + dish_.stats().receiveQueued >= 45, "the rest");
    expect(dish_.stats().receiveQueued).toBeLessThanOrEqual(11);
    expect(String((await dish_.receive(WAIT))[0])).toBe("0");
  });

  it("report what was thrown away once a second of each reason, and count all of it", async () => {
    const dish_ = dish({ receiveHighWaterMark: 2 });
    dish_.join("g");
    const port = portOf(await dish_.bind(ANY));
    const send = await senderTo(port);
    const seen: string[] = [];
    dish_.events.on("invalid", ({ reason }) => seen.push(reason));
    const begun = performance.now();
    for (let i = 0; i < 60; i++) await send(Buffer.from("\u0001gx"));
    for (let i = 0; i < 40; i++) await send(Buffer.from([5, 1, 2]));
    const invalid = () => dish_.stats().invalid;
    await until(() => invalid().full >= 50 && invalid().frames === 40, "all are counted");
    const seconds = Math.ceil((performance.now() - begun) / 1_000);
    expect(new Set(seen)).toEqual(new Set(["full", "frames"]));
    expect(seen.length).toBeLessThanOrEqual(2 * seconds);
  });

  it("are unbound and disconnected", async () => {
    const { dish_, radio_, endpoint } = await linked();
    await radio_.send("x", { group: "g" });
    await dish_.receive(WAIT);
    await dish_.unbind(endpoint);
    await dish_.bind(endpoint);
    await radio_.send("y", { group: "g" });
    expect(String((await dish_.receive(WAIT))[0])).toBe("y");
    radio_.disconnect(endpoint);
    expect(thrown(() => radio_.disconnect(endpoint))).toMatchObject({ code: "ENOENT" });
    expect(radio_.stats().peers).toBe(0);
  });
});

describe("DGRAM", () => {
  it("sends to addresses, and receives with the sender's", async () => {
    const [one, other] = [datagram(), datagram()];
    const endpoint = await one.bind(ANY);
    await other.bind(ANY);
    await other.send([`127.0.0.1:${portOf(endpoint)}`, "hello"]);
    const [address, body] = await one.receive(WAIT);
    expect(String(body)).toBe("hello");
    await one.send([address, "and back"]);
    expect(String((await other.receive(WAIT))[1])).toBe("and back");
  });

  it("refuses what is not an address and one frame", async () => {
    const one = datagram();
    await one.bind(ANY);
    for (const message of [
      "x",
      [],
      ["127.0.0.1:1"],
      ["127.0.0.1:1", "a", "b"],
      ["localhost:1", "a"],
      ["127.0.0.1", "a"],
      ["127.0.0.1:0", "a"],
      ["127.0.0.1:65536", "a"],
      ["::1:5", "a"],
      ["", "a"],
      ["127.0.0.1:1", Buffer.alloc(8_193)],
      ["127.0.0.1:1", {}],
      null,
      undefined,
    ]) {
      expect(await failure(one.send(message as [string, string]))).toMatchObject({ code: "EINVAL" });
    }
  });
});

describe("a datagram longer than `maxMessageSize`", () => {
  const oversize = Buffer.concat([Buffer.from("\u0001g"), Buffer.alloc(3_000, "x")]);

  /** Sends as many oversize datagrams as the receive queue has room for, then one that fits. */
  async function flood(socket: Dish | Datagram): Promise<dgram.Socket> {
    const port = portOf(await socket.bind(ANY));
    const other = await raw();
    for (let i = 1; i <= 5; i++) {
      other.send(oversize, port, "127.0.0.1");
      await until(() => socket.stats().invalid.tooLarge === i, `${i} counted`);
    }
    other.send("\u0001gbody", port, "127.0.0.1");
    return other;
  }

  it("is counted and leaves nothing before the next one of a DGRAM", async () => {
    const one = datagram({ maxMessageSize: 1_000, receiveHighWaterMark: 4 });
    const other = await flood(one);
    const [address, body, ...more] = await one.receive(WAIT);
    expect([String(address), String(body), more]).toEqual([
      `127.0.0.1:${other.address().port}`,
      "\u0001gbody",
      [],
    ]);
  });

  it("is counted and leaves nothing before the next one of a DISH", async () => {
    const dish_ = dish({ maxMessageSize: 1_000, receiveHighWaterMarkBytes: 16 });
    dish_.join("g");
    await flood(dish_);
    expect(await dish_.receive(WAIT)).toEqual([Buffer.from("body"), { group: Buffer.from("g") }]);
    expect(dish_.stats().invalid).toMatchObject({ tooLarge: 5, frames: 0, full: 0 });
  });
});

describe("udp", () => {
  it("has addresses of IPv6", async () => {
    const { dish_, radio_, endpoint } = await linked("udp://[::1]:*");
    expect(endpoint).toMatch(/^udp:\/\/\[::1\]:\d+$/);
    await radio_.send("six", { group: "g" });
    expect(String((await dish_.receive(WAIT))[0])).toBe("six");
  });

  it("has groups of a link, on an interface by name or address, and keeps them from this machine where asked", async () => {
    const [name, addresses] = Object.entries(networkInterfaces()).find(([, all]) =>
      all?.some(({ internal }) => internal),
    ) as [string, NetworkInterfaceInfo[]];
    const four = addresses.find(({ family }) => family === "IPv4") as NetworkInterfaceInfo;
    if (addresses.some(({ family }) => family === "IPv6")) {
      for (const given of [name, "::1"]) {
        const six = dish();
        expect(await six.bind(`udp://${given.includes(":") ? `[${given}]` : given};[ff02::7a]:*`)).toContain(
          ";[ff02::7a]:",
        );
      }
    }
    // A loopback interface gives what is sent there to its own members, whatever the sender asks for.
    const loop = vi.spyOn(dgram.Socket.prototype, "setMulticastLoopback");
    try {
      for (const multicastLoop of [false, true]) {
        const dish_ = dish();
        dish_.join("g");
        const radio_ = radio({ multicastLoop });
        radio_.connect(await dish_.bind(`udp://${four.address};239.7.7.8:*`));
        await radio_.send("one", { group: "g" });
        expect(String((await dish_.receive(WAIT))[0])).toBe("one");
        expect(loop).toHaveBeenLastCalledWith(multicastLoop);
        loop.mockClear();
        await datagram({ multicastLoop }).bind(ANY);
        expect(loop).toHaveBeenLastCalledWith(multicastLoop);
      }
    } finally {
      loop.mockRestore();
    }
  });

  it("looks for a name again until it is found, and lets a socket close meanwhile", async () => {
    const radio_ = radio({ reconnectInterval: 10 });
    const retried = nextEvent(radio_, "connect:retry");
    radio_.connect("udp://nowhere.invalid:5");
    expect(radio_.trySend("waits", { group: "g" })).toBe(true);
    await retried;
    expect(await radio_.close({ linger: 50 })).toMatchObject({ discarded: 1 });
  });

  it("looks on for what waits where it was disconnected, within the linger", async () => {
    const radio_ = radio({ reconnectInterval: 10, linger: -1 });
    const endpoint = "udp://nowhere.invalid:5";
    let retried = nextEvent(radio_, "connect:retry");
    radio_.connect(endpoint);
    expect(radio_.trySend("waits", { group: "g" })).toBe(true);
    await retried;
    retried = nextEvent(radio_, "connect:retry");
    radio_.disconnect(endpoint);
    expect(thrown(() => radio_.disconnect(endpoint))).toMatchObject({ code: "ENOENT" });
    await retried;
    // The same endpoint again is another.
    radio_.connect(endpoint);
    radio_.disconnect(endpoint);
    expect(radio_.stats().copies).toEqual({ queued: 1, dropped: 0 });
    expect(await radio_.close({ linger: 50 })).toMatchObject({ discarded: 1 });
  });

  it("is refused where it does not fit the socket, or the socket authenticates", async () => {
    expect(await failure(radio().bind(ANY))).toMatchObject({ code: "ENOCOMPATPROTO" });
    expect(thrown(() => dish().connect("udp://127.0.0.1:5"))).toMatchObject({ code: "ENOCOMPATPROTO" });
    expect(thrown(() => datagram().connect("udp://127.0.0.1:5"))).toMatchObject({ code: "ENOCOMPATPROTO" });
    expect(await failure(datagram().bind("tcp://127.0.0.1:*"))).toMatchObject({ code: "ENOCOMPATPROTO" });
    expect(thrown(() => dish().bindSync(ANY))).toMatchObject({ code: "NOT_SUPPORTED" });
    const authenticates = dish({ authenticate: () => true });
    expect(await failure(authenticates.bind(ANY))).toMatchObject({ code: "ENOCOMPATPROTO" });
    const plain = radio({ plainUsername: "u", plainPassword: "p" });
    expect(thrown(() => plain.connect("udp://127.0.0.1:5"))).toMatchObject({ code: "ENOCOMPATPROTO" });
  });

  it("has endpoints of its own form", async () => {
    for (const endpoint of [
      "udp://",
      "udp://127.0.0.1",
      "udp://;239.0.0.1:5",
      "udp://lo;127.0.0.1:5",
      "udp://x:99999",
    ])
      expect(thrown(() => radio().connect(endpoint))).toMatchObject({ code: "EINVAL" });
  });

  it("has a port that is taken refused", async () => {
    const endpoint = await dish().bind(ANY);
    expect(await failure(dish().bind(endpoint))).toMatchObject({ code: "EADDRINUSE" });
  });
});
