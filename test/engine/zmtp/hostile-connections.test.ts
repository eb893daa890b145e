/** Connections that are slow, end anywhere, or break the rules within a handshake or after it: nobody else notices. */
import type { Socket as NetSocket } from "node:net";
import { describe, expect, it, vi } from "vitest";
import { CURVE_SERVER } from "../../contract/support/keys.js";
import { collect, nextEvent, until, within } from "../../contract/support/wait.js";
import { command, frame, greeting, ready } from "../../contract/support/zmtp-peer.js";
import { start } from "../../process/child.js";
import { LONG } from "../../support/long.js";
import { portOf } from "../../support/ports.js";
import { HostileWorld, MIB, memory } from "./support/hostile-world.js";
import { RawServer, shaken } from "./support/raw-server.js";

const world = new HostileWorld();

it("a peer that is slow with its handshake, a byte at a time, is closed in time; a good peer is served meanwhile", async () => {
  const pull = world.pull({ handshakeInterval: 300 });
  const { endpoint, works } = await world.good(pull);
  const slow = await Promise.all(Array.from({ length: 50 }, () => world.raw(endpoint)));
  const bytes = Buffer.concat([greeting(), ready("PUSH")]).subarray(0, -1);
  let ended = 0;
  for (const peer of slow) {
    void peer.closed.then(() => void ended++);
  }
  const end = performance.now() + 8_000;
  for (let at = 0; ended < slow.length && performance.now() < end; at++) {
    for (const peer of slow) if (at < bytes.length) peer.write(bytes.subarray(at, at + 1));
    await works();
  }
  expect(ended).toBe(slow.length);
  expect(pull.stats().peers).toBe(1);
});

it("a message for which the process has no memory ends its connection, which says so; others stay", async () => {
  const pull = world.pull();
  const { endpoint, works } = await world.good(pull);
  const peer = await shaken(world, endpoint, "PUSH");
  const left = nextEvent(pull, "disconnect");
  const allocate = Buffer.allocUnsafeSlow;
  const spy = vi.spyOn(Buffer, "allocUnsafeSlow").mockImplementation((size) => {
    if (size > 32 * MIB) throw new RangeError("Array buffer allocation failed");
    return allocate(size);
  });
  try {
    peer.write(Buffer.from("020000000003ffff00", "hex"), Buffer.alloc(2 * MIB));
    expect(await left).toMatchObject({ reason: "local", error: { code: "ENOMEM" } });
  } finally {
    spy.mockRestore();
  }
  await works();
});

it("a peer whose command ends its connection leaves nothing of the frame that it began behind it to the next connection", async () => {
  const tooLong = command("SUBSCRIBE", Buffer.alloc(16_384, "x"));
  const begun = Buffer.from("0200000000000004000000", "hex");
  const said = [Buffer.concat([tooLong, begun]), command("SUBSCRIBE", "A")];
  const server = new RawServer((socket) => {
    socket.resume();
    socket.write(Buffer.concat([greeting(), ready("SUB"), said.shift() ?? Buffer.alloc(0)]));
  });
  const publisher = world.publisher({ reconnectInterval: 1 });
  const left = nextEvent(publisher, "disconnect");
  const subscribed = nextEvent(publisher, "subscribe");
  publisher.connect(await server.listen(world));
  expect(await left).toMatchObject({ reason: "protocol" });
  expect(String((await subscribed).topic)).toBe("A");
});

describe("a peer that leaves without a word", () => {
  const phases: [string, Buffer[]][] = [
    ["before its first byte", []],
    ["in its greeting", [greeting().subarray(0, 11)]],
    ["after its greeting", [greeting()]],
    ["in READY", [greeting(), ready("PUSH").subarray(0, 9)]],
    ["after READY", [greeting(), ready("PUSH")]],
    ["in a frame's header", [greeting(), ready("PUSH"), Buffer.of(0x02, 0, 0)]],
    ["in a frame's body", [greeting(), ready("PUSH"), Buffer.of(0x00, 9, 65, 66)]],
    ["in a message", [greeting(), ready("PUSH"), Buffer.of(0x01, 1, 65)]],
    ["in a PING", [greeting(), ready("PUSH"), command("PING", "\0\0xx").subarray(0, 5)]],
  ];
  describe.each(["RST", "FIN"])("by %s", (how) => {
    it.each(phases)("%s, is forgotten; a good peer is served", async (_, bytes) => {
      const pull = world.pull();
      const { endpoint, works } = await world.good(pull);
      const peer = await world.raw(endpoint);
      const left = nextEvent(pull, "disconnect");
      if (bytes[0] !== undefined) peer.write(bytes[0]);
      await peer.heard(64);
      if (bytes.length > 1) {
        peer.write(...bytes.slice(1));
        await until(() => pull.stats().peers === 2 || (bytes[1] as Buffer).length < 10, "the handshake");
      }
      if (how === "RST") peer.socket.resetAndDestroy();
      else peer.socket.end();
      expect((await left).reason).toBe("remote");
      await works();
      expect(pull.stats()).toMatchObject({ peers: 1, receiveQueued: 0 });
    });

    it.each(phases)("%s, when it is the one we connect to, is tried again", async (_, bytes) => {
      const server = new RawServer((socket) => {
        socket.resume();
        if (bytes.length > 0) socket.write(Buffer.concat(bytes));
        socket.once("data", () => (how === "RST" ? socket.resetAndDestroy() : socket.end()));
      });
      const endpoint = await server.listen(world);
      const pull = world.connect(world.pull({ reconnectInterval: 5 }), endpoint);
      await until(() => server.connections.length >= 3, "three attempts");
      server.end();
      const push = world.push();
      await push.bind(endpoint);
      await push.send("good");
      expect(await collect(pull, 1)).toEqual(["good"]);
    });
  });
});

it("a peer that is gone leaves messages that still count as queued, and can be taken", async () => {
  const pull = world.pull();
  const endpoint = await world.bind(pull);
  const leave = async (): Promise<void> => {
    const peer = await shaken(world, endpoint, "PUSH");
    const left = nextEvent(pull, "peer:leave");
    peer.write(frame("one"), frame("two"), frame("three"));
    peer.socket.end();
    await left;
  };
  for (let i = 0; i < 20; i++) await leave();
  expect(pull.stats().receiveQueued).toBe(60);
  // Fairly, as if they were there: the first of each, then the second.
  for (const text of ["one", "two", "three"]) expect(await collect(pull, 20)).toEqual(Array(20).fill(text));
  expect(pull.stats().receiveQueued).toBe(0);
  await leave();
  expect(pull.stats().receiveQueued).toBe(3);
});

it("a peer that does not hang up keeps no close waiting, and what it goes on sending goes nowhere", async () => {
  const chatter = Buffer.concat(Array.from({ length: 100 }, () => frame("still talking")));
  const onConnection = (socket: NetSocket): void => {
    socket.write(Buffer.concat([greeting(), ready("PULL")]));
    socket.resume();
    const talk = (): void => {
      if (!socket.destroyed && socket.writable) socket.write(chatter, () => setImmediate(talk));
    };
    socket.on("end", talk);
  };
  const server = new RawServer(onConnection, { allowHalfOpen: true });
  const push = world.connect(world.push(), await server.listen(world));
  await push.send("bye");
  await push.ready();
  expect(await within(push.close({ linger: 3_000 }), "the close")).toMatchObject({
    flushed: 1,
    discarded: 0,
  });
  // The connection itself lasts until the peer hangs up, or HANG_UP is over; nobody waits for it.
  expect(push.stats()).toMatchObject({ received: 0, receiveQueued: 0 });
});

describe("a frame against the rules", () => {
  const more = Buffer.concat([Buffer.from("030000000000100000", "hex"), Buffer.alloc(MIB)]);
  const cases: [string, Buffer][] = [
    ["reserved bits", Buffer.of(0x08, 1, 65)],
    ["65 MiB in MORE frames", Buffer.alloc(65 * more.length, more)],
  ];
  it.each(
    cases,
  )("(%s) ends its connection; what came before it is delivered, a good peer is served", async (_, bytes) => {
    // Without a mark in bytes: "before" waits, and the peer would not be read to its fault.
    const pull = world.pull({ receiveHighWaterMarkBytes: 0 });
    const { endpoint, works } = await world.good(pull);
    const peer = await shaken(world, endpoint, "PUSH");
    const left = nextEvent(pull, "disconnect");
    peer.write(frame("before"), bytes);
    expect((await left).reason).toBe("protocol");
    await within(peer.closed, "the connection's end");
    expect(await collect(pull, 1)).toEqual(["before"]);
    await works();
    expect(pull.stats()).toMatchObject({ peers: 1, receiveQueued: 0 });
  });

  it("or a command nobody knows, or one for another kind of socket, is passed over", async () => {
    const pull = world.pull();
    const peer = await shaken(world, pull, "PUSH");
    const odd = [..."SUBSCRIBE CANCEL JOIN LEAVE ERROR READY HELLO WELCOME".split(" "), "X".repeat(255)];
    for (const name of odd)
      peer.write(command(name, "data"), Buffer.of(0x01, 1, 65), command(name), frame(name));
    peer.write(
      Buffer.of(4, 0),
      Buffer.of(4, 1, 0),
      Buffer.of(4, 1, 9),
      Buffer.of(5, 0),
      command("PING"),
      frame("end"),
    );
    for (const name of odd) expect((await pull.receive({ timeout: 8_000 })).map(String)).toEqual(["A", name]);
    expect(await collect(pull, 1)).toEqual(["end"]);
    expect(pull.stats().peers).toBe(1);
  });
});

describe("a handshake out of order", () => {
  const authenticate = (): boolean => true;
  const servers = {
    NULL: {},
    PLAIN: { plainServer: true, authenticate },
    CURVE: { ...CURVE_SERVER, authenticate },
  };
  const HELLO = command("HELLO", "\u0001u\u0001p");
  const cases: [keyof typeof servers, string, Buffer][] = [
    ["NULL", "a message first", frame("too early")],
    ["PLAIN", "HELLO twice", Buffer.concat([HELLO, HELLO])],
    ["CURVE", "INITIATE before HELLO", command("INITIATE", Buffer.alloc(300))],
  ];
  it.each(cases)("(%s) %s ends that connection and is reported; nobody else's", async (name, _, bytes) => {
    const server = world.pull(servers[name]);
    const endpoint = await world.bind(server);
    const peer = await world.raw(endpoint);
    const failed = nextEvent(server, "handshake:error:protocol");
    const left = nextEvent(server, "disconnect");
    peer.write(greeting(name));
    await peer.heard(64);
    peer.write(bytes);
    const { error, address } = await failed;
    expect([error.name, address]).toEqual(["ProtocolError", endpoint]);
    expect(error.message).toContain(endpoint);
    expect((await left).reason).toBe("protocol");
    await within(peer.closed, "the connection's end");
    expect(server.stats()).toMatchObject({ peers: 0, received: 0, receiveQueued: 0 });
  });

  it("a server that answers with a message is reported, and tried again", async () => {
    const server = new RawServer((socket) => {
      socket.write(greeting());
      socket.once("data", () => socket.write(frame("too early")));
    });
    const pull = world.pull({ reconnectInterval: 5 });
    const failed = nextEvent(pull, "handshake:error:protocol");
    pull.connect(await server.listen(world));
    expect((await failed).error.code).toMatch(/^ERR_ZMTP_/);
    await until(() => server.connections.length >= 2, "another attempt");
  });
});

it("thousands of connections that stop in their handshake keep nobody out, neither who is there nor who comes", async () => {
  const pull = world.pull({ backlog: 1_024, maxPendingHandshakes: KEPT });
  const { endpoint, works } = await world.good(pull);
  let gaveWay = 0;
  pull.events.on("handshake:error:other", () => void gaveWay++);
  const before = memory();
  // They are opened by another process, so that each side has its own descriptors.
  const child = start(STOPPERS, { args: [String(portOf(endpoint)), String(STOPPED)], limit: 25_000 });
  let report = "";
  const told = child
    .line()
    .then(String, String)
    .then((line) => {
      report = line;
    });
  while (report === "") {
    await works();
    const late = world.connect(world.push(), endpoint);
    await late.send("late");
    expect(await collect(pull, 1)).toEqual(["late"]);
    await late.close({ linger: 0 });
    await new Promise((resolve) => setImmediate(resolve));
  }
  await told;
  expect(JSON.parse(report).opened).toBe(STOPPED);
  await works();
  await until(() => gaveWay >= STOPPED - KEPT, "the oldest giving way");
  expect((memory() - before) / KEPT).toBeLessThan(32_768);
  await child.kill();
  await until(() => pull.stats().peers === 1, "the good peer alone");
  await works();
}, 30_000);

const STOPPED = LONG ? 10_000 : 2_500;
/** 4,096 is the default. */
const KEPT = LONG ? 4_096 : 1_024;

/** Opens so many connections, sends a greeting on each, and stops. */
const STOPPERS = `
  import { connect } from "node:net";
  const [port, count] = process.argv.slice(1).map(Number);
  const greeting = Buffer.from("${greeting().toString("hex")}", "hex");
  let opened = 0;
  const open = () => new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => { opened += 1; socket.write(greeting.subarray(0, 20 + opened % 45)); resolve(); });
    socket.on("error", resolve);
    socket.resume();
  });
  for (let i = 0; i < count; i += 100) await Promise.all(Array.from({ length: 100 }, open));
  console.log(JSON.stringify({ opened }));
  setInterval(() => undefined, 1_000);
`;
