/**
 * Peers that break the rules over a real connection. Each loses its own connection
 * at most: the process stays up, memory stays bounded, and the other peers notice
 * nothing.
 */
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { describe, expect, it } from "vitest";
import type { Pull, Push, Socket, SocketEvent } from "../../../src/index.js";
import { curveKeyPair } from "../../../src/index.js";
import { collect, nextEvent, until, within } from "../../contract/support/wait.js";
import { World } from "../../contract/support/world.js";
import { frame, greeting, ready } from "../../contract/support/zmtp-peer.js";
import { start } from "../../process/child.js";
import { collectGarbage } from "../../support/collect-garbage.js";
import { command, HostilePeer, portOf } from "./support/hostile-peer.js";

const MIB = 1_048_576;
const world = new World("zmtp", "tcp");

async function raw(endpoint: string): Promise<HostilePeer> {
  const peer = await HostilePeer.connect(endpoint);
  world.after(() => peer.destroy());
  return peer;
}

/** A peer that behaves, and a way to see that it is served. */
async function good(pull: Pull, endpoint: string): Promise<{ push: Push; works(): Promise<void> }> {
  const push = world.push();
  push.connect(endpoint);
  let sent = 0;
  const works = async (): Promise<void> => {
    sent += 1;
    await push.send(`good ${sent}`);
    expect(await collect(pull, 1)).toEqual([`good ${sent}`]);
  };
  await works();
  return { push, works };
}

function memory(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function events(socket: Socket): SocketEvent[] {
  const all: SocketEvent[] = [];
  for (const type of [
    "disconnect",
    "handshake:error:protocol",
    "handshake:error:other",
    "peer:refused",
  ] as const)
    socket.events.on(type, (event) => void all.push(event));
  return all;
}

describe("a peer that is slow on purpose", () => {
  it("with its handshake, a byte at a time, is closed in time; a good peer is served meanwhile", async () => {
    const pull = world.pull({ handshakeInterval: 300 });
    const endpoint = await world.bind(pull);
    const { works } = await good(pull, endpoint);
    const slow = await Promise.all(Array.from({ length: 50 }, () => raw(endpoint)));
    const bytes = Buffer.concat([greeting(), ready("PUSH")]).subarray(0, -1);
    let ended = 0;
    for (const peer of slow) {
      void peer.listen().closed.then(() => {
        ended += 1;
      });
    }
    const end = performance.now() + 8_000;
    for (let at = 0; ended < slow.length && performance.now() < end; at++) {
      for (const peer of slow) if (at < bytes.length) peer.write(bytes.subarray(at, at + 1));
      await works();
    }
    expect(ended).toBe(slow.length);
    expect(pull.stats().peers).toBe(1);
  });

  it("with its messages, a byte at a time, keeps nobody waiting", async () => {
    const pull = world.pull();
    const endpoint = await world.bind(pull);
    const { works } = await good(pull, endpoint);
    const peer = await raw(endpoint);
    await peer.handshake("PUSH");
    const message = pull.receive({ timeout: 8_000 });
    for (const byte of frame("slow")) {
      peer.write(Buffer.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(String(await message)).toBe("slow");
    await works();
  });

  it("to end a frame of the largest size allowed takes no memory for what it only declared", async () => {
    const pull = world.pull();
    const endpoint = await world.bind(pull);
    const { works } = await good(pull, endpoint);
    const before = memory();
    for (let i = 0; i < 20; i++) {
      const peer = await raw(endpoint);
      await peer.handshake("PUSH");
      peer.write(Buffer.from("020000000004000000", "hex"), Buffer.alloc(100));
    }
    await until(() => pull.stats().peers === 21, "21 peers");
    await works();
    expect(memory() - before).toBeLessThan(24 * MIB);
  });
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
      const endpoint = await world.bind(pull);
      const { works } = await good(pull, endpoint);
      const peer = await raw(endpoint);
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
      let accepted = 0;
      const server = createServer((socket) => {
        accepted += 1;
        socket.on("error", () => undefined);
        socket.resume();
        if (bytes.length > 0) socket.write(Buffer.concat(bytes));
        socket.once("data", () => (how === "RST" ? socket.resetAndDestroy() : socket.end()));
      });
      await listen(server);
      const endpoint = `tcp://127.0.0.1:${(server.address() as { port: number }).port}`;
      const pull = world.pull({ reconnectInterval: 5 });
      pull.connect(endpoint);
      await until(() => accepted >= 3, "three attempts");
      await new Promise((resolve) => server.close(resolve));
      const push = world.push();
      await push.bind(endpoint);
      await push.send("good");
      expect(await collect(pull, 1)).toEqual(["good"]);
    });
  });
});

async function listen(server: Server): Promise<void> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  world.after(() => server.close());
}

describe("a peer that is gone", () => {
  it("leaves messages that still count as queued, and can be taken", async () => {
    const pull = world.pull();
    const endpoint = await world.bind(pull);
    const leave = async (): Promise<void> => {
      const peer = await raw(endpoint);
      await peer.handshake("PUSH");
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
});

describe("a peer that does not hang up", () => {
  it("keeps no close waiting, and what it goes on sending goes nowhere", async () => {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => undefined);
      world.after(() => socket.destroy());
      socket.write(Buffer.concat([greeting(), ready("PULL")]));
      socket.resume();
      const chatter = Buffer.concat(Array.from({ length: 100 }, () => frame("still talking")));
      const talk = (): void => {
        if (!socket.destroyed && socket.writable) socket.write(chatter, () => setImmediate(talk));
      };
      socket.on("end", talk);
    });
    await listen(server);
    const push = world.push();
    push.connect(`tcp://127.0.0.1:${(server.address() as { port: number }).port}`);
    await push.send("bye");
    await push.ready();
    expect(await within(push.close({ linger: 3_000 }), "the close")).toMatchObject({
      flushed: 1,
      discarded: 0,
    });
    // The connection itself lasts until the peer hangs up, or HANG_UP is over; nobody waits for it.
    expect(push.stats()).toMatchObject({ received: 0, receiveQueued: 0 });
  });
});

describe("a handshake out of order", () => {
  const keys = curveKeyPair();
  const authenticate = (): boolean => true;
  const servers = {
    NULL: {},
    PLAIN: { plainServer: true, authenticate },
    CURVE: { curveServer: true, curveSecretKey: keys.secretKey, authenticate },
  };
  const hello = "\u0001u\u0001p";
  const cases: [keyof typeof servers, string, Buffer][] = [
    ["NULL", "a message first", frame("too early")],
    ["NULL", "PING first", command("PING", "\0\0")],
    ["NULL", "SUBSCRIBE first", command("SUBSCRIBE")],
    ["NULL", "HELLO", command("HELLO", hello)],
    ["NULL", "WELCOME", command("WELCOME")],
    ["NULL", "an empty command", Buffer.of(4, 0)],
    ["NULL", "a command without a name", Buffer.of(4, 2, 0, 65)],
    ["NULL", "a name longer than the command", Buffer.of(4, 2, 255, 65)],
    ["NULL", "READY with MORE", Buffer.concat([Buffer.of(5), ready("PUSH").subarray(1)])],
    ["NULL", "READY with reserved bits", Buffer.concat([Buffer.of(0x84), ready("PUSH").subarray(1)])],
    [
      "NULL",
      "READY with a byte left over",
      Buffer.concat([Buffer.of(4, 27), ready("PUSH").subarray(2), Buffer.of(0)]),
    ],
    ["NULL", "ERROR whose reason is cut", command("ERROR", "\u0009no")],
    ["NULL", "a command of 2^63-1 bytes", Buffer.from("067fffffffffffffff", "hex")],
    [
      "NULL",
      "100,000 properties",
      command("READY", Buffer.from("\u0001a\0\0\0\0".repeat(100_000), "latin1")),
    ],
    ["NULL", "1,000 properties", command("READY", properties(1_000))],
    ["NULL", "a value of 2^32-1 bytes", command("READY", Buffer.from("\u0001a\xff\xff\xff\xff", "latin1"))],
    [
      "NULL",
      "the same property twice",
      command("READY", Buffer.from("\u0001a\0\0\0\0\u0001A\0\0\0\0", "latin1")),
    ],
    ["PLAIN", "READY", ready("PUSH")],
    ["PLAIN", "INITIATE before HELLO", command("INITIATE", ready("PUSH").subarray(8))],
    ["PLAIN", "HELLO twice", Buffer.concat([command("HELLO", hello), command("HELLO", hello)])],
    ["PLAIN", "HELLO with a byte left over", command("HELLO", `${hello}x`)],
    ["PLAIN", "HELLO with a length that is not there", command("HELLO", "\xff")],
    ["PLAIN", "an empty HELLO", command("HELLO")],
    ["PLAIN", "a message after HELLO", Buffer.concat([command("HELLO", hello), frame("too early")])],
    ["CURVE", "READY", ready("PUSH")],
    ["CURVE", "INITIATE before HELLO", command("INITIATE", Buffer.alloc(300))],
    ["CURVE", "a HELLO of zeros", command("HELLO", Buffer.alloc(194))],
    ["CURVE", "a HELLO of another length", command("HELLO", Buffer.alloc(500))],
    ["CURVE", "MESSAGE first", command("MESSAGE", Buffer.alloc(40))],
  ];
  it.each(cases)("(%s) %s ends that connection and is told; nobody else's", async (mechanism, _, bytes) => {
    const server = world.pull(servers[mechanism]);
    const endpoint = await world.bind(server);
    const peer = await raw(endpoint);
    const failed = nextEvent(server, "handshake:error:protocol");
    const left = nextEvent(server, "disconnect");
    peer.write(greeting(mechanism));
    await peer.heard(64);
    peer.write(bytes);
    const { error, address } = await failed;
    expect([error.name, address]).toEqual(["ProtocolError", endpoint]);
    expect(error.message).toContain(endpoint);
    expect((await left).reason).toBe("protocol");
    await within(peer.closed, "the connection's end");
    expect(server.stats()).toMatchObject({ peers: 0, received: 0, receiveQueued: 0 });
  });

  const clients = {
    NULL: {},
    PLAIN: { plainUsername: "u", plainPassword: "p" },
    CURVE: { curveServerKey: keys.publicKey, curvePublicKey: keys.publicKey, curveSecretKey: keys.secretKey },
  };
  const answers: [keyof typeof clients, string, Buffer][] = [
    ["NULL", "a message", frame("too early")],
    ["PLAIN", "READY before WELCOME", ready("PUSH")],
    ["PLAIN", "WELCOME with data", command("WELCOME", "x")],
    ["PLAIN", "WELCOME twice", Buffer.concat([command("WELCOME"), command("WELCOME")])],
    ["PLAIN", "HELLO", command("HELLO", hello)],
    ["CURVE", "READY before WELCOME", command("READY", Buffer.alloc(40))],
    ["CURVE", "a WELCOME of zeros", command("WELCOME", Buffer.alloc(160))],
    ["CURVE", "a WELCOME of another length", command("WELCOME", Buffer.alloc(1_000))],
    ["CURVE", "HELLO", command("HELLO", Buffer.alloc(194))],
  ];
  it.each(
    answers,
  )("(%s) a server that answers with %s is told of, and tried again", async (mechanism, _, bytes) => {
    let accepted = 0;
    const server = createServer((socket) => {
      accepted += 1;
      socket.on("error", () => undefined);
      socket.write(greeting(mechanism));
      socket.once("data", () => socket.write(bytes));
    });
    await listen(server);
    const pull = world.pull({ ...clients[mechanism], reconnectInterval: 5 });
    const failed = nextEvent(pull, "handshake:error:protocol");
    pull.connect(`tcp://127.0.0.1:${(server.address() as { port: number }).port}`);
    expect((await failed).error.code).toMatch(/^ERR_ZMTP_/);
    await until(() => accepted >= 2, "another attempt");
  });

  function properties(count: number): Buffer {
    const all: Buffer[] = [];
    for (let i = 0; i < count; i++) {
      const name = i.toString(36);
      all.push(Buffer.of(name.length), Buffer.from(name), Buffer.alloc(4));
    }
    return Buffer.concat(all);
  }
});

describe("a frame against the rules", () => {
  const cases: [string, Buffer][] = [
    ["reserved bits", Buffer.of(0x08, 1, 65)],
    ["all bits", Buffer.alloc(9, 0xff)],
    ["a length of 2^63-1", Buffer.from("027fffffffffffffff", "hex")],
    ["a length of 2^64-1", Buffer.from("02ffffffffffffffff", "hex")],
    ["a length of 2^31", Buffer.from("020000000080000000", "hex")],
    ["a PING of 2^31 bytes", Buffer.from("060000000080000000", "hex")],
    ["65,537 MORE frames", Buffer.from("0100".repeat(65_537), "hex")],
    [
      "65 MiB in MORE frames",
      Buffer.alloc(
        65 * 1_048_585,
        Buffer.concat([Buffer.from("030000000000100000", "hex"), Buffer.alloc(MIB)]),
      ),
    ],
  ];
  it.each(
    cases,
  )("(%s) ends its connection; what came before it is delivered, a good peer is served", async (_, bytes) => {
    const pull = world.pull();
    const endpoint = await world.bind(pull);
    const { works } = await good(pull, endpoint);
    const peer = await raw(endpoint);
    await peer.handshake("PUSH");
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
    const endpoint = await world.bind(pull);
    const peer = await raw(endpoint);
    await peer.handshake("PUSH");
    const odd = [
      "SUBSCRIBE",
      "CANCEL",
      "JOIN",
      "LEAVE",
      "ERROR",
      "READY",
      "HELLO",
      "WELCOME",
      "X".repeat(255),
    ];
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

/** SUBSCRIBE to a prefix whose last 7 characters are to be written. */
const RECORD = command("SUBSCRIBE", "topic 0000000");

describe("a flood", () => {
  it("of PINGs from a peer that does not read is not answered without end", async () => {
    const pull = world.pull();
    const endpoint = await world.bind(pull);
    const { works } = await good(pull, endpoint);
    const peer = await raw(endpoint);
    await peer.handshake("PUSH");
    peer.socket.pause();
    await until(() => pull.stats().peers === 2, "two peers");
    const before = memory();
    const pings = Buffer.concat(Array.from({ length: 4_000 }, () => command("PING", "\0\0sixteen bytes..!")));
    const written = await within(peer.flood(pings, 300), "the flood"); // 30 MB; their PONGs would be 28.
    await works();
    expect(written).toBe(300);
    expect(memory() - before).toBeLessThan(2 * MIB);
    // It is served when it reads.
    peer.socket.resume();
    peer.write(frame("now reading"));
    expect(await collect(pull, 1)).toEqual(["now reading"]);
  });

  it("of a million SUBSCRIBEs fits, and the other subscribers get their messages", async () => {
    const publisher = world.publisher();
    const endpoint = await world.bind(publisher);
    const subscriber = world.subscriber();
    subscriber.connect(endpoint);
    subscriber.subscribe("news");
    await publisher.waitForSubscribers({ timeout: 8_000 });
    const before = memory();
    const peer = await raw(endpoint);
    await peer.handshake("SUB");
    for (let batch = 0; batch < 100; batch++) {
      const records = Buffer.alloc(10_000 * RECORD.length, RECORD);
      for (let i = 0; i < 10_000; i++) {
        records.write(String(batch * 10_000 + i).padStart(7, "0"), (i + 1) * RECORD.length - 7, "latin1");
      }
      await peer.flood(records, 1);
      await publisher.send(["news", "flash"]);
      expect((await subscriber.receive({ timeout: 8_000 })).map(String)).toEqual(["news", "flash"]);
    }
    const own = memory();
    peer.write(command("SUBSCRIBE", "last"));
    await until(() => {
      void publisher.send(["last", "x".repeat(200)]);
      return peer.socket.bytesRead > 300;
    }, "a message to the million's peer");
    // About 150 bytes for each; the peers of a publisher have no more than MAX_PREFIXES each.
    expect(own - before).toBeLessThan(400 * MIB);
    peer.destroy();
    await until(() => publisher.stats().peers === 1, "one peer");
    await publisher.send(["news", "end"]);
    expect((await subscriber.receive({ timeout: 8_000 })).map(String)).toEqual(["news", "end"]);
    expect(memory() - before).toBeLessThan(64 * MIB);
  }, 30_000);

  it("of SUBSCRIBEs beyond what a peer may have ends its connection", async () => {
    const publisher = world.publisher();
    const endpoint = await world.bind(publisher);
    const peer = await raw(endpoint);
    await peer.handshake("SUB");
    const left = nextEvent(publisher, "disconnect");
    const prefix = Buffer.alloc(MIB);
    for (let i = 0; i < 65 && !peer.socket.destroyed; i++) {
      prefix.writeUInt32BE(i);
      await peer.flood(command("SUBSCRIBE", prefix), 1);
    }
    expect((await left).reason).toBe("protocol");
    expect(publisher.stats().peers).toBe(0);
  });

  it.each([
    ["commands", (i: number) => command("SUBSCRIBE", `t${i}`)],
    ["messages", (i: number) => frame(`\u0001t${i}`)],
  ])("of subscriptions as %s stops at an XPUB whose program does not read", async (_, make) => {
    const publisher = world.xPublisher();
    const endpoint = await world.bind(publisher);
    const peer = await raw(endpoint);
    await peer.handshake("SUB");
    await until(() => publisher.stats().peers === 1, "the peer");
    const queued: number[] = [];
    let i = 0;
    for (let round = 0; round < 400; round++) {
      const batch: Buffer[] = [];
      for (let k = 0; k < 2_000; k++) batch.push(make(i++));
      if (!peer.write(Buffer.concat(batch))) {
        const drained = once(peer.socket, "drain");
        const stuck = new Promise((resolve) => setTimeout(resolve, 400, "stuck"));
        if ((await Promise.race([drained, stuck])) === "stuck") break;
      }
      queued.push(publisher.stats().receiveQueued);
    }
    // The high-water mark, and what one chunk brings beyond it: 65,536 bytes.
    expect(publisher.stats().receiveQueued).toBeLessThan(1_000 + 65_536 / 4);
    expect(publisher.stats().receiveQueued).toBeGreaterThanOrEqual(1_000);
  });

  it("of peers that subscribe and leave does not fill the queue of an XPUB that nobody reads", async () => {
    const publisher = world.xPublisher();
    const endpoint = await world.bind(publisher);
    for (let round = 0; round < 20; round++) {
      const peer = await raw(endpoint);
      await peer.handshake("SUB");
      const commands: Buffer[] = [];
      for (let i = 0; i < 500; i++) commands.push(command("SUBSCRIBE", `t${round}-${i}`));
      const joined = until(() => publisher.stats().receiveQueued >= 500, "the subscriptions");
      peer.write(...commands);
      await joined;
      peer.destroy();
      await until(() => publisher.stats().peers === 0, "nobody");
    }
    expect(publisher.stats().receiveQueued).toBe(0);
  });
});

describe("ten thousand connections that stop in their handshake", () => {
  it("keep neither the peers that are there out, nor those that come", async () => {
    const pull = world.pull({ backlog: 1_024 });
    const endpoint = await world.bind(pull);
    const { works } = await good(pull, endpoint);
    const seen = events(pull);
    const before = memory();
    // They are opened by another process, so that each side has its own descriptors.
    const child = start(STOPPERS, { args: [String(portOf(endpoint)), "10000"], limit: 25_000 });
    let report = "";
    const told = child.line().then(
      (line) => {
        report = line;
      },
      (error) => {
        report = String(error);
      },
    );
    while (report === "") {
      await works();
      const late = world.push();
      late.connect(endpoint);
      await late.send("late");
      expect(await collect(pull, 1)).toEqual(["late"]);
      await late.close({ linger: 0 });
      await new Promise((resolve) => setImmediate(resolve));
    }
    await told;
    expect(JSON.parse(report).opened).toBe(10_000);
    await works();
    const gaveWay = (): number => seen.filter(({ type }) => type === "handshake:error:other").length;
    await until(() => gaveWay() >= 10_000 - 4_096, "the oldest giving way");
    // 4,096 of them are kept.
    expect((memory() - before) / 4_096).toBeLessThan(16_384);
    await child.kill();
    await until(() => pull.stats().peers === 1, "the good peer alone");
    await works();
  }, 30_000);
});

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
