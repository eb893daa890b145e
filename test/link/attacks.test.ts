/**
 * What the other end of a link, or a tunnel between, can do to it: floods of channels, kills, cuts and altered bytes at any place. What came is
 * right and in order, the rest is an error, and memory is freed.
 */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { type Duplex, duplexPair, Transform } from "node:stream";
import { afterEach, describe, expect, it } from "vitest";
import {
  encodeControl,
  encodeOpen,
  FrameReader,
  FrameType,
  LinkCode,
  writeHead,
} from "../../src/link/frames.js";
import { Handshake } from "../../src/link/handshake.js";
import {
  commence,
  type LinkChannel,
  type MultiplexLink,
  type MultiplexLinkOptions,
} from "../../src/link/index.js";
import { Random, runs, SEED } from "../fuzz/seed.js";
import { start } from "../process/child.js";
import { collectGarbage } from "../support/collect-garbage.js";
import { freePort } from "../support/ports.js";

const open: (Server | Socket | MultiplexLink)[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) {
    if (each instanceof Object && "channels" in each) await each.close({ linger: 0 });
    else if ("listening" in each) each.close();
    else each.destroy();
  }
});

/** The hello of a dialler without a password. */
function hello(): Buffer {
  const settings = { window: 65_536, maxChannels: 10, encrypt: false, keys: [], role: "dialler" } as const;
  return new Handshake(settings).hello;
}

function openFrame(id: number, name = "x"): Buffer {
  return encodeControl(FrameType.OPEN, 0, id, encodeOpen({ urgency: 3, kind: 0, name }));
}

function dataFrame(id: number, bytes: Buffer): Buffer {
  const head = Buffer.alloc(8);
  writeHead(head, 0, FrameType.DATA, 0, bytes.length, id);
  return Buffer.concat([head, bytes]);
}

/** A server that makes links of what connects. */
async function gate(
  onLink: (link: Promise<MultiplexLink>) => void,
  options: MultiplexLinkOptions,
): Promise<number> {
  const server = createServer((socket) => onLink(commence(socket, { role: "acceptor", ...options })));
  const port = await freePort();
  server.listen(port, "127.0.0.1");
  open.push(server);
  await once(server, "listening");
  return port;
}

function endOf(link: MultiplexLink): Promise<{ readonly error?: unknown }> {
  return new Promise((resolve) => link.events.once("link:ended", resolve));
}

describe("channels without end that are opened in one go", () => {
  const COUNT = runs(8_000, 100_000);
  const opens = (count = COUNT): Buffer =>
    Buffer.concat([hello(), ...Array.from({ length: count }, (_, i) => openFrame(2 * i + 1))]);

  it("are refused with the limit's name beyond it, and the link goes on", { timeout: 60_000 }, async () => {
    let made: ((link: Promise<MultiplexLink>) => void) | undefined;
    const coming = new Promise<MultiplexLink>((resolve) => (made = resolve));
    let taken = 0;
    const port = await gate((link) => made?.(link), {
      onChannel: (channel) => {
        taken += 1;
        channel.on("error", () => undefined);
      },
    });
    const socket = connect(port, "127.0.0.1");
    open.push(socket);
    socket.write(opens());
    const refusals = new Map<string, number>();
    let accepted = 0;
    let answers = 0;
    const all = new Promise<void>((resolve) => {
      const reader = new FrameReader({
        onDataHead: () => undefined,
        onDataBytes: () => undefined,
        onDataEnd: () => undefined,
        onControl: (type, _flags, _id, payload) => {
          if (type === FrameType.ACCEPT) accepted += 1;
          else if (type === FrameType.RESET) {
            const reason = `${payload[0]} ${payload.subarray(1)}`;
            refusals.set(reason, (refusals.get(reason) ?? 0) + 1);
          } else return undefined;
          answers += 1;
          if (answers === COUNT) resolve();
          return undefined;
        },
      });
      let skipped = 56;
      socket.on("data", (chunk: Buffer) => {
        const skips = Math.min(skipped, chunk.length);
        skipped -= skips;
        reader.read(chunk.subarray(skips));
      });
    });
    const link = await coming;
    open.push(link);
    await all;
    expect(accepted).toBe(4_096);
    expect(taken).toBe(4_096);
    expect([...refusals]).toEqual([[`${LinkCode.LIMIT} more than 4096 channels`, COUNT - 4_096]]);
    const { channels, refused, windowBytes } = link.stats();
    expect([channels, refused, windowBytes]).toEqual([4_096, COUNT - 4_096, 4_096 * 65_536]);
  });

  it("by an end that does not read the answers end the link, which keeps none", {
    timeout: 60_000,
  }, async () => {
    let made: ((link: Promise<MultiplexLink>) => void) | undefined;
    const coming = new Promise<MultiplexLink>((resolve) => (made = resolve));
    // Of a stream that takes nothing: what it was given is what the link holds for it.
    const [here, there] = duplexPair({ writableHighWaterMark: 1_024, readableHighWaterMark: 1_024 });
    made?.(
      commence(here, {
        role: "acceptor",
        maxChannels: 10,
        onChannel: (channel) => void channel.on("error", () => undefined),
      }),
    );
    const all = opens(100_000);
    there.on("error", () => undefined);
    there.write(all);
    const link = await coming;
    open.push(link);
    expect(await endOf(link)).toMatchObject({
      error: { code: "ERR_PROTOCOL", message: expect.stringMatching(/not read/) },
    });
    expect(link.channels.length).toBe(0);
    expect(here.writableLength).toBeLessThan(2 * 1_048_576);
  });
});

describe("channels that are opened, filled and reset as fast as they go", () => {
  it("end their link after the burst, keep nothing of it, and leave the program's other links alone", {
    timeout: 20_000,
  }, async () => {
    let taken = 0;
    const links: Promise<MultiplexLink>[] = [];
    const port = await gate((link) => links.push(link), {
      onChannel: (channel) => {
        taken += 1;
        channel.on("error", () => undefined);
        if (channel.name === "echo") channel.pipe(channel);
      },
    });
    const good = connect(port, "127.0.0.1");
    await once(good, "connect");
    const honest = await commence(good, { role: "dialler" });
    open.push(honest, (await links[0]) as MultiplexLink);
    const echo = await honest.open("echo");
    const bad = connect(port, "127.0.0.1").on("error", () => undefined);
    open.push(bad);
    await once(bad, "connect");
    const reset = (id: number): Buffer =>
      encodeControl(FrameType.RESET, 0, id, Buffer.from([LinkCode.CLOSED]));
    const bytes = Buffer.alloc(5_000);
    bad.resume().write(hello());
    while (links.length < 2) await new Promise(setImmediate);
    const attacked = (await links[1]) as MultiplexLink;
    open.push(attacked);
    const ended = endOf(attacked);
    // Ten at once are within its limit; each has bytes that nobody has read.
    for (let id = 1; id < 8_000; id += 2)
      bad.write(Buffer.concat([openFrame(id), dataFrame(id, bytes), reset(id)]));
    echo.write("still there");
    expect(String((await once(echo, "data"))[0])).toBe("still there");
    expect(await ended).toMatchObject({
      error: { code: "ERR_PROTOCOL", message: expect.stringMatching(/opened and reset too often/) },
    });
    // The burst, what a second brings, and the honest one.
    expect(taken).toBeGreaterThan(1_000);
    expect(taken).toBeLessThan(3_000);
    expect(attacked.stats()).toMatchObject({ channels: 0, windowBytes: 0, unreadBytes: 0 });
    echo.write("again");
    expect(String((await once(echo, "data"))[0])).toBe("again");
  });
});

describe("channels that wait for credit which never comes", () => {
  const COUNT = runs(800, 10_000);
  const WINDOW = 1_024;

  it(`send what they may (${COUNT}), cost nothing while they wait, and hold up neither another one nor the end`, {
    timeout: 60_000,
  }, async () => {
    const [here, there] = duplexPair();
    let came = 0;
    let last = 0;
    const accept = (id: number): Buffer => encodeControl(FrameType.ACCEPT, 0, id, Buffer.alloc(0));
    const reader = new FrameReader({
      onDataHead: () => undefined,
      onDataBytes: (_id, bytes) => {
        came += bytes.length;
      },
      onDataEnd: () => undefined,
      onControl: (type, _flags, id) => {
        if (type !== FrameType.OPEN) return undefined;
        last = id;
        there.write(accept(id));
        return undefined;
      },
    });
    let skipped = 56;
    there.on("data", (chunk: Buffer) => {
      const skips = Math.min(skipped, chunk.length);
      skipped -= skips;
      reader.read(chunk.subarray(skips));
    });
    const settings = {
      window: WINDOW,
      maxChannels: 20_000,
      encrypt: false,
      keys: [],
      role: "acceptor",
    } as const;
    there.write(new Handshake(settings).hello);
    const link = await commence(here, { role: "dialler", window: 1_024, maxWindow: 1_024 });
    open.push(link);
    const piece = Buffer.alloc(16_384);
    const channels = await Promise.all(Array.from({ length: COUNT }, () => link.open("mute")));
    let failed = 0;
    for (const channel of channels) {
      channel.on("error", () => undefined).on("close", () => (failed += 1));
      channel.write(piece);
    }
    while (came < COUNT * WINDOW) await new Promise(setImmediate);
    expect(link.stats().waitingBytes).toBe(COUNT * (piece.length - WINDOW));
    const { sentBytes } = link.stats();
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
    expect(link.stats().sentBytes).toBe(sentBytes);
    // One more gets credit for all it has, a byte at a time.
    const busy = await link.open("busy");
    const before = came;
    const finished = new Promise<void>((resolve) => busy.write(Buffer.alloc(WINDOW + 500), () => resolve()));
    const byte = encodeControl(FrameType.CREDIT, 0, last, Buffer.from([0, 0, 0, 1]));
    there.write(Buffer.concat(Array(500).fill(byte)));
    await finished;
    expect(came - before).toBeLessThanOrEqual(WINDOW + 500);
    await link.close({ linger: 0 });
    expect(link.stats()).toMatchObject({ channels: 0, waitingBytes: 0, windowBytes: 0 });
    while (failed < COUNT) await new Promise(setImmediate);
  });
});

describe("a channel that is accepted and ended in one go", () => {
  it.each([
    ["by a reset", [encodeControl(FrameType.RESET, 0, 1, Buffer.from([LinkCode.REFUSED]))]],
    ["by a broken frame", [encodeControl(FrameType.ACCEPT, 0, 1, Buffer.alloc(0))]],
  ])("%s is given to its opener with its error, before which no uncaught one comes", async (_, frames) => {
    const server = createServer((socket) => {
      open.push(socket.on("error", () => undefined));
      const settings = {
        window: 65_536,
        maxChannels: 10,
        encrypt: false,
        keys: [],
        role: "acceptor",
      } as const;
      socket.write(new Handshake(settings).hello);
      const reader = new FrameReader({
        onDataHead: () => undefined,
        onDataBytes: () => undefined,
        onDataEnd: () => undefined,
        onControl: (type) => {
          if (type === FrameType.OPEN)
            socket.write(Buffer.concat([encodeControl(FrameType.ACCEPT, 0, 1, Buffer.alloc(0)), ...frames]));
          return undefined;
        },
      });
      let skipped = 56;
      socket.on("data", (chunk: Buffer) => {
        const skips = Math.min(skipped, chunk.length);
        skipped -= skips;
        reader.read(chunk.subarray(skips));
      });
    });
    const port = await freePort();
    server.listen(port, "127.0.0.1");
    open.push(server);
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    const link = await commence(socket, { role: "dialler" });
    open.push(link);
    const channel = await link.open("x");
    // What keeps the error from being an uncaught one is gone a turn later: from then on it is the program's.
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    expect(channel.listenerCount("error")).toBe(0);
    await expect(
      (async () => {
        for await (const _ of channel);
      })(),
    ).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_(?:TRANSPORT|PROTOCOL)$/) });
  });
});

describe("a process that is killed with -9 in the middle of a stream", () => {
  const BYTES = runs(8, 64) * 2 ** 20;
  const KILLS = runs(2, 100);
  /** Byte i of the stream, in a cycle that is no power of two. */
  const CYCLE = 65_521;
  const PROGRAM = `
import { connect } from "node:net";
import { once } from "node:events";
import { commence } from "shoal/link";
const [port, bytes, cycle] = process.argv.slice(1).map(Number);
const pattern = Buffer.alloc(3 * cycle);
for (let i = 0; i < pattern.length; i++) pattern[i] = ((i % cycle) * 31) >> 3;
const socket = connect(port, "127.0.0.1");
await once(socket, "connect");
const link = await commence(socket, { role: "dialler" });
const channel = await link.open("bytes");
for (let at = 0; at < bytes; at += 65_536) {
  const from = at % cycle;
  if (!channel.write(Buffer.from(pattern.subarray(from, from + 65_536)))) await once(channel, "drain");
}
await new Promise(() => setInterval(() => undefined, 1_000));
`;

  it(`gives its reader a part that is right, and an error; ${KILLS} times, and nothing of it stays`, {
    timeout: 1_800_000,
  }, async () => {
    const pattern = Buffer.alloc(3 * CYCLE);
    for (let i = 0; i < pattern.length; i++) pattern[i] = ((i % CYCLE) * 31) >> 3;
    const random = new Random(SEED);
    const gone: WeakRef<object>[] = [];
    let accept: (channel: LinkChannel, link: MultiplexLink) => void = () => undefined;
    const port = await gate((link) => link.catch(() => undefined), {
      onChannel: (channel, link) => accept(channel, link),
    });
    for (let kill = 0; kill < KILLS; kill++) {
      const until = random.below(BYTES);
      const child = start(PROGRAM, { args: [port, BYTES, CYCLE].map(String) });
      const seen = await new Promise<{ got: number; isRight: boolean; error: unknown; ended: unknown }>(
        (resolve) => {
          accept = (channel, link) => {
            gone.push(new WeakRef(channel), new WeakRef(link));
            let got = 0;
            let isRight = true;
            let ended = "";
            channel.on("end", () => (ended = "end"));
            channel.on("data", (piece: Buffer) => {
              for (let at = 0; at < piece.length; ) {
                const from = (got + at) % CYCLE;
                const length = Math.min(piece.length - at, pattern.length - from);
                isRight &&= piece.compare(pattern, from, from + length, at, at + length) === 0;
                at += length;
              }
              got += piece.length;
              if (got >= until) child.process.kill("SIGKILL");
            });
            channel.on("error", (error) => resolve({ got, isRight, error, ended }));
          };
        },
      );
      await child.outcome;
      expect(seen).toMatchObject({ isRight: true, error: { code: "ERR_TRANSPORT" }, ended: "" });
      expect(seen.got).toBeGreaterThanOrEqual(until);
      expect(seen.got).toBeLessThanOrEqual(BYTES);
    }
    accept = () => undefined;
    // What is freed in a turn of its own, such as a handle.
    for (let i = 0; i < 10; i++) {
      await new Promise(setImmediate);
      collectGarbage();
    }
    // The last one may be what the runtime still has at hand.
    expect(gone.filter((each) => each.deref() !== undefined).length).toBeLessThanOrEqual(2);
  });
});

describe("a stream that is cut", () => {
  it("after any byte fails the handshake, or the link and its channel, which got a part of what came before", {
    timeout: 30_000,
  }, async () => {
    const bytes = Buffer.from("what came before the cut");
    const all = Buffer.concat([hello(), openFrame(1), dataFrame(1, bytes), dataFrame(1, bytes)]);
    const begin = all.length - 2 * (8 + bytes.length);
    const expected = Buffer.concat([bytes, bytes]).toString();
    for (let length = 0; length < all.length; length++) {
      const [here, there] = duplexPair();
      let came = "";
      let failure: Promise<{ code?: string }> | undefined;
      const making = commence(here, {
        role: "acceptor",
        onChannel: (channel) => {
          channel.on("data", (piece: Buffer) => (came += piece));
          failure = new Promise((resolve) => channel.on("error", resolve));
        },
      });
      there.resume();
      there.end(all.subarray(0, length));
      if (length < 56) {
        await expect(making).rejects.toMatchObject({ code: "ERR_TRANSPORT" });
        continue;
      }
      const link = await making;
      expect(await endOf(link)).toMatchObject({ error: { code: "ERR_TRANSPORT" } });
      if (length >= begin) expect(await failure).toMatchObject({ code: "ERR_TRANSPORT" });
      expect(expected.startsWith(came)).toBe(true);
      expect(link.stats()).toMatchObject({ channels: 0, windowBytes: 0 });
    }
  });
});

describe("a tunnel that alters one byte", () => {
  const PASSWORD = "correct horse battery";
  const MESSAGE = "only whole and unaltered";

  /** Both ends, with one byte of what the first one sends flipped. */
  async function through(at: number): Promise<{ came: string; isWhole: boolean }> {
    const [here, tunnelHere] = duplexPair();
    const [tunnelThere, there] = duplexPair();
    // A length that was altered lets an end wait for more.
    const options = { password: PASSWORD, pingInterval: 100, pingTimeout: 100 } as const;
    let passed = 0;
    const alter = new Transform({
      transform(chunk: Buffer, _encoding, callback) {
        const copy = Buffer.from(chunk);
        const place = at - passed;
        if (place >= 0 && place < copy.length) copy[place] = (copy[place] as number) ^ (1 << (at % 8));
        passed += copy.length;
        callback(null, copy);
      },
    });
    for (const each of [here, tunnelHere, tunnelThere, there, alter] as Duplex[])
      each.on("error", () => undefined);
    tunnelHere.pipe(alter).pipe(tunnelThere).pipe(tunnelHere);
    // When one end gives up, the other one sees its stream end.
    here.on("close", () => tunnelThere.end());
    there.on("close", () => tunnelHere.end());
    let came = "";
    let isWhole = false;
    let over: (() => void) | undefined;
    const finished = new Promise<void>((resolve) => (over = resolve));
    const accepting = commence(there, {
      ...options,
      role: "acceptor",
      onChannel: (channel) => {
        channel.on("error", () => undefined).on("close", () => over?.());
        channel.on("data", (piece: Buffer) => (came += piece)).on("end", () => (isWhole = true));
        channel.end();
      },
    });
    const dialling = commence(here, { ...options, role: "dialler" });
    const [a, b] = await Promise.allSettled([dialling, accepting]);
    try {
      if (a.status !== "fulfilled" || b.status !== "fulfilled") return { came, isWhole };
      const channel = await a.value.open("x").catch(() => undefined);
      if (channel === undefined) return { came, isWhole };
      channel.on("error", () => undefined).resume();
      channel.end(MESSAGE);
      await Promise.race([finished, new Promise((resolve) => b.value.events.once("link:ended", resolve))]);
      return { came, isWhole };
    } finally {
      for (const each of [a, b]) if (each.status === "fulfilled") await each.value.close({ linger: 0 });
      for (const each of [here, there, tunnelHere, tunnelThere]) each.destroy();
    }
  }

  it("fails the handshake or the link, and nothing altered comes to a program", {
    timeout: 60_000,
  }, async () => {
    // None altered: the bytes of all that is sent, hello, proof, and the records.
    expect(await through(-1)).toEqual({ came: MESSAGE, isWhole: true });
    // A hello of 56 bytes and a proof of 33, then records: each byte of the handshake counts, and of the first records.
    const steps = runs(2, 1);
    for (let at = 0; at < 170; at += steps) {
      const { came, isWhole } = await through(at);
      expect(["", MESSAGE], `byte ${at}`).toContain(came);
      expect(isWhole, `byte ${at}`).toBe(false);
    }
  });
});
