/** Links over real streams: channels as Node.js streams, and what ends them. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { Duplex, duplexPair, PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import type { EventOf } from "../../src/core/event-stream.js";
import { encodeControl, encodeOpen, FrameType } from "../../src/link/frames.js";
import {
  type LinkChannel,
  type MultiplexLink,
  type MultiplexLinkEvent,
  type MultiplexLinkOptions,
  openLink,
} from "../../src/link/index.js";
import { Handshake } from "../../src/link/security.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { gate } from "../support/gate.js";
import { listening } from "../support/listening.js";
import { frameReader } from "./support.js";

const closing = closeAfterEach();

function destroying(...streams: readonly Duplex[]): void {
  for (const stream of streams) closing({ close: () => stream.destroy() });
}

/** Both ends of a tcp connection. */
async function sockets(): Promise<[Socket, Socket]> {
  const server = createServer();
  const port = await listening(server);
  const accepted = once(server, "connection");
  const socket = connect(port, "127.0.0.1");
  const [other] = (await accepted) as [Socket];
  destroying(socket, other);
  return [socket, other];
}

async function link(
  streams: readonly [Duplex, Duplex],
  a: MultiplexLinkOptions,
  b: MultiplexLinkOptions,
): Promise<[MultiplexLink, MultiplexLink]> {
  const links = await Promise.all([openLink(streams[0], a), openLink(streams[1], b)]);
  for (const each of links) closing(each);
  return links as [MultiplexLink, MultiplexLink];
}

/** A link over tcp to an end with these options. */
const linkTo = async (options: MultiplexLinkOptions) => link(await sockets(), {}, options);

/** A link with a channel, and the end of it that the other end's program has. */
async function withChannel(streams?: readonly [Duplex, Duplex], options: MultiplexLinkOptions = {}) {
  let taken: LinkChannel | undefined;
  const onChannel = (each: LinkChannel): void => {
    taken ??= each;
  };
  const [a, b] = await link(streams ?? (await sockets()), {}, { ...options, onChannel });
  const channel = await a.open("x");
  return { a, b, channel, other: taken as unknown as LinkChannel };
}

const echo = (channel: LinkChannel): void => {
  channel.on("error", () => undefined);
  channel.pipe(channel);
};

/** A link whose other end sends only what the test writes. */
async function withRawPeer(options: MultiplexLinkOptions = {}): Promise<[MultiplexLink, Duplex]> {
  const [here, there] = duplexPair();
  const settings = { role: "responder", window: 65_536, maxChannels: 8, keys: [], encrypt: false } as const;
  there.write(new Handshake(settings).hello);
  there.resume();
  const made = closing(await openLink(here, { ...options, role: "initiator" }));
  destroying(there);
  return [made, there];
}

/** One end of a stream that takes each batch at once, and carries it to the other end a turn later. */
class Crate extends Duplex {
  #other: Crate | undefined;

  static pair(): [Crate, Crate] {
    const [a, b] = [new Crate(), new Crate()];
    a.#other = b;
    b.#other = a;
    destroying(a, b);
    return [a, b];
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    this._writev([{ chunk }], callback);
  }

  override _writev(chunks: { readonly chunk: Buffer }[], callback: () => void): void {
    const bytes = Buffer.concat(chunks.map(({ chunk }) => chunk));
    setImmediate(() => this.#other?.push(bytes));
    callback();
  }
}

/** Whether a channel takes more within some turns of the event loop. */
async function drained(channel: LinkChannel): Promise<boolean> {
  let isDrained = false;
  channel.once("drain", () => (isDrained = true));
  for (let turns = 0; turns < 20 && !isDrained; turns++) await new Promise(setImmediate);
  return isDrained;
}

/** The next event of a type. */
function event<T extends MultiplexLinkEvent["type"]>(
  of: MultiplexLink,
  type: T,
): Promise<EventOf<MultiplexLinkEvent, T>> {
  return new Promise((resolve) => of.events.once(type, resolve));
}

const PASSWORD = "correct horse battery";

it.each<[string, MultiplexLinkOptions]>([
  ["in the clear", {}],
  ["with a password", { password: PASSWORD }],
  ["with a password, not encrypted", { password: PASSWORD, encrypt: false }],
])("a link %s carries many channels at once, whole and in order", async (_, options) => {
  const [a, b] = await link(await sockets(), options, { ...options, onChannel: echo });
  expect([a.isEncrypted, b.isEncrypted]).toEqual(
    Array(2).fill(options.password !== undefined && options.encrypt !== false),
  );
  const work = Array.from({ length: 20 }, async (_, i) => {
    const channel = await a.open(`channel ${i}`);
    const sent = randomBytes(10_000 * i + 1);
    const got: Buffer[] = [];
    await new Promise((resolve) => channel.write("", resolve)); // There is nothing to wait for.
    channel.end(sent);
    for await (const chunk of channel) got.push(chunk);
    expect(Buffer.concat(got).equals(sent)).toBe(true);
  });
  await Promise.all(work);
  expect(a.stats()).toMatchObject({
    channels: 0,
    opened: 20,
    unreadBytes: 0,
    waitingBytes: 0,
    windowBytes: 0,
  });
  expect(b.stats()).toMatchObject({ channels: 0, accepted: 20, windowBytes: 0 });
});

describe("a channel", () => {
  it("waits for no timer and no other turn of the event loop: it is sent, and handed on, in the turn in which it is written, and comes", async () => {
    const streams = await sockets();
    const { channel, other } = await withChannel(streams);
    // The first round trips are measured by pings, with which it would leave.
    for (let i = 0; i < 40; i++) {
      channel.write("x");
      await once(other, "data");
    }
    let sent = 0;
    let handedOn = 0;
    other.on("data", ({ length }: Buffer) => (handedOn += length));
    const write = streams[0].write.bind(streams[0]) as (...given: unknown[]) => boolean;
    const written = frameReader((_id, length) => (sent += length));
    streams[0].write = (bytes: Buffer, ...rest: unknown[]) => {
      written.read(bytes);
      return write(bytes, ...rest);
    };
    // Its listener comes after the link's own: what came in a chunk is with the program then.
    const arrival = new Promise<number>((resolve) => {
      const reader = frameReader(() => resolve(handedOn));
      streams[1].on("data", (chunk: Buffer) => reader.read(chunk));
    });
    channel.write(Buffer.alloc(64));
    await new Promise(setImmediate);
    expect(sent).toBe(64);
    expect(await arrival).toBe(64);
  });

  it("that waits for credit holds no more for its program than at first, however fast it was", async () => {
    const options = { window: 2_097_152, maxWindow: 2_097_152 };
    const { channel, other } = await withChannel(Crate.pair(), options);
    while (channel.write(Buffer.alloc(65_536)) || (await drained(channel)));
    expect(channel.writableLength).toBeLessThanOrEqual(131_072 + 65_536);
    other.resume();
    await once(channel, "drain");
  });

  it("that nobody reads stops its own sender only, within its window", async () => {
    const taken: LinkChannel[] = [];
    const [a, b] = await linkTo({
      window: 65_536,
      onChannel: (channel) => (channel.name === "stopped" ? void taken.push(channel) : echo(channel)),
    });
    const stopped = await a.open("stopped");
    stopped.write(Buffer.alloc(1_000_000));
    const other = await a.open("other");
    const sent = randomBytes(3_000_000);
    other.end(sent);
    const got: Buffer[] = [];
    for await (const chunk of other) got.push(chunk);
    expect(Buffer.concat(got).equals(sent)).toBe(true);
    expect(b.stats().unreadBytes).toBe(65_536);
    expect(a.stats().waitingBytes).toBe(1_000_000 - 65_536);
    // It goes on when it is read.
    const finished = once(stopped, "drain");
    taken[0]?.resume();
    await finished;
    expect(a.stats().waitingBytes).toBe(0);
  });

  it("that a program reads now and then has few pieces, however small the frames were", async () => {
    const { a, channel, other } = await withChannel();
    const COUNT = 3_000;
    let pieces = 0;
    let got = "";
    const { passed: finished, open: finish } = gate();
    const onData = (piece: Buffer): void => {
      pieces += 1;
      got += piece.toString("latin1");
      if (got.length === COUNT) finish();
    };
    // It has read before, so that Node's stream has asked for more.
    other.once("data", () => other.pause());
    channel.write("x");
    await once(other, "pause");
    other.on("data", onData);
    let expected = "";
    for (let i = 0; i < COUNT; i++) {
      const byte = String.fromCharCode(97 + (i % 26));
      expected += byte;
      channel.write(byte);
      await new Promise(setImmediate);
    }
    // What is behind it on the stream is there when this one is.
    await a.open("second");
    other.resume();
    await finished;
    expect(got).toBe(expected);
    expect(pieces).toBeLessThan(20);
  });

  it("gives what `read(n)` asked for as soon as it is there, however small the frames were", async () => {
    const asked = [4, 3_000, 5];
    const sizes = [[3, 1], Array.from({ length: 300 }, () => 10), [1, 1, 4]];
    const { a, channel, other } = await withChannel();
    const got: number[] = [];
    const finished = new Promise<void>((resolve) => {
      other.on("readable", () => {
        for (;;) {
          const piece = other.read(asked[got.length] ?? 1) as Buffer | null;
          if (piece === null) return;
          got.push(piece.length);
          if (got.length > asked.length) resolve();
        }
      });
    });
    for (const size of sizes.flat()) {
      channel.write(Buffer.alloc(size));
      // Each is a frame of its own, and the other end has it before the next is sent.
      await a.open("next");
    }
    await finished;
    expect(got).toEqual([...asked, 1]);
  });

  it("that is destroyed fails the write that waits for credit, after it in the same turn, with its error or as closed", async () => {
    const [a] = await linkTo({ window: 1_024, maxWindow: 1_024, onChannel: (x) => void x.pause() });
    for (const error of [undefined, new Error("enough")]) {
      const channel = await a.open("x");
      channel.on("error", () => undefined);
      const failed = new Promise((resolve) => channel.write(Buffer.alloc(100_000), resolve));
      // Past the turn in which writes are gathered, it is in flight.
      await new Promise(setImmediate);
      channel.destroy(error);
      expect(await failed).toMatchObject(error ?? { code: "ERR_TRANSPORT" });
    }
  });

  it("fails the write of a batch that its stream refuses", async () => {
    const [x, y] = Crate.pair();
    const [a] = await link([x, y], {}, { onChannel: echo });
    const channel = await a.open("x");
    channel.on("error", () => undefined);
    x._writev = (_chunks, callback: (error?: Error) => void) => setImmediate(callback, new Error("full"));
    const failed = new Promise((resolve) => channel.write("hello", resolve));
    expect(await failed).toMatchObject({ code: "ERR_TRANSPORT", message: expect.stringContaining("full") });
  });

  it("is refused without a handler, by one that throws, and beyond a limit", async () => {
    const failed: unknown[] = [];
    const [a, b] = await linkTo({
      maxChannels: 2,
      onChannel: (channel) => {
        if (channel.name === "no") throw new Error("not today");
        if (channel.name === "late")
          return once(channel, "data").then(() => Promise.reject(new Error("too late")));
        return undefined;
      },
    });
    b.events.on("handler:failed", ({ error }) => failed.push(error));
    await expect(a.open("no")).rejects.toMatchObject({ code: "ECONNREFUSED" });
    const late = await a.open("late");
    late.write("x");
    expect((await once(late, "error"))[0]).toMatchObject({ code: "ERR_TRANSPORT" });
    expect(failed).toMatchObject([{ message: "not today" }, { message: "too late" }]);
    await a.open("1");
    await a.open("2");
    await expect(a.open("3")).rejects.toMatchObject({ code: "EMFILE" });
    expect(b.stats().refused).toBe(1); // "no": the handler was not asked about "3".
    await expect(b.open("x")).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  it("is given up by a signal, before it is accepted and after", async () => {
    const [a] = await linkTo({ onChannel: () => undefined });
    await expect(a.open("x", { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "ABORT_ERR" });
    const giveUp = new AbortController();
    const opening = a.open("x", { signal: giveUp.signal });
    giveUp.abort();
    await expect(opening).rejects.toMatchObject({ code: "ABORT_ERR" });
    const later = new AbortController();
    const channel = await a.open("y", { signal: later.signal });
    const failed = once(channel, "error");
    later.abort();
    expect((await failed)[0]).toMatchObject({ name: "AbortError" });
    expect(a.stats().channels).toBe(0);
  });
});

describe("the end of a link", () => {
  it("on purpose lets channels finish, and refuses new ones", async () => {
    const { a, b, channel, other } = await withChannel();
    const ended = [a, b].map((each) => event(each, "link:ended"));
    const draining = event(b, "link:draining");
    const closing = a.close({ linger: -1 });
    await draining;
    await expect(b.open("y")).rejects.toMatchObject({ code: "EAGAIN" });
    await expect(a.open("y")).rejects.toMatchObject({ code: "EBADF" });
    channel.end("last words");
    other.end("answer");
    expect(await text(other)).toBe("last words");
    expect(await text(channel)).toBe("answer");
    await closing;
    expect(await Promise.all(ended)).toMatchObject([{ error: undefined }, { error: undefined }]);
  });

  it("on purpose does not wait for a channel that was given up before the other end answered", async () => {
    for (const end of ["drain", "close"] as const) {
      const [a] = await withRawPeer();
      const opening = a.open("x", { timeout: 10 });
      const failed = expect(opening).rejects.toMatchObject({ code: "ETIMEDOUT" });
      const ended = end === "drain" ? a.drain() : a.close({ linger: -1 });
      await failed;
      await ended;
    }
  });

  it("within a channel's handler opens no channel that the other end accepts later in the same piece", async () => {
    const happened: string[] = [];
    const [a, other] = await withRawPeer({ onChannel: (_channel, on) => void on.close({ linger: 0 }) });
    for (const type of ["channel:opened", "channel:closed", "link:ended"] as const)
      a.events.on(type, () => happened.push(type));
    const opening = a.open("x");
    const ended = event(a, "link:ended");
    other.write(
      Buffer.concat([
        encodeControl(FrameType.OPEN, 0, 2, encodeOpen({ kind: 0, name: "y" })),
        encodeControl(FrameType.ACCEPT, 0, 1, Buffer.alloc(0)),
      ]),
    );
    await ended;
    await expect(opening).rejects.toMatchObject({ code: "EBADF" });
    expect(happened).toEqual(["channel:opened", "channel:closed", "link:ended"]);
  });

  it("cuts channels when the linger is over, without an uncaught error at this end", async () => {
    const { a, b, channel, other } = await withChannel();
    const over = event(b, "link:ended");
    await a.close({ linger: 10 });
    expect(channel.destroyed).toBe(true);
    expect(await over).toMatchObject({ error: undefined });
    expect(other.destroyed).toBe(true);
  });

  it("on purpose leaves the other end's program what both ends had finished, also while that sends credit", async () => {
    const [socket, other] = await sockets();
    let taken: LinkChannel | undefined;
    const [a, b] = await link(
      [socket, other],
      {},
      {
        onChannel: (channel) => {
          taken = channel;
          channel.end();
        },
      },
    );
    const ended = event(b, "link:ended");
    const channel = await a.open("x");
    channel.resume();
    channel.write(Buffer.alloc(40_000));
    const reader = taken as unknown as LinkChannel;
    while (b.stats().unreadBytes < 40_000) await new Promise(setImmediate);
    other.pause();
    channel.end(Buffer.alloc(20_000));
    await once(channel, "close");
    const closed = a.close();
    await once(socket, "finish");
    // More than half of the window is read: its credit comes to an end that has sent everything and closes.
    let got = 0;
    reader.on("data", (piece: Buffer) => (got += piece.length));
    while (b.stats().unreadBytes > 0) await new Promise(setImmediate);
    await new Promise(setImmediate);
    reader.pause();
    other.resume();
    expect(await ended).toEqual({ type: "link:ended", error: undefined });
    await closed;
    expect(reader.destroyed).toBe(false);
    reader.resume();
    await once(reader, "end");
    expect(got).toBe(60_000);
    expect(b.stats()).toMatchObject({ channels: 0, windowBytes: 0 });
  });

  it("is not needed for a stream that nobody reads: what waits is bounded, and goes on when it is read", async () => {
    const [socket, other] = await sockets();
    const [a] = await link([socket, other], {}, { onChannel: (channel) => void channel.resume() });
    const channels = await Promise.all(Array.from({ length: 400 }, () => a.open("x")));
    other.pause();
    // Each within its window, and together more than the system's buffers hold.
    const sent = channels.map(
      (channel) => new Promise<void>((resolve) => channel.write(Buffer.alloc(65_536), () => resolve())),
    );
    while (socket.writableLength < 65_536) await new Promise(setImmediate);
    expect(socket.writableLength).toBeLessThanOrEqual(524_288 + 65_536 + 64);
    other.resume();
    await Promise.all(sent);
  });

  it("comes when the other end is silent", async () => {
    const [socket, other] = await sockets();
    const [a] = await link([socket, other], { pingInterval: 50, pingTimeout: 50 }, {});
    other.removeAllListeners("data"); // What comes is read, and answered by nobody.
    const over = await event(a, "link:ended");
    expect(over).toMatchObject({ error: { code: "ETIMEDOUT" } });
  });
});

describe("openLink", () => {
  it("refuses another password, and an end without one", async () => {
    const refused = async (a: MultiplexLinkOptions, b: MultiplexLinkOptions): Promise<unknown[]> => {
      const [x, y] = await sockets();
      const results = await Promise.allSettled([openLink(x, a), openLink(y, b)]);
      expect([x.destroyed, y.destroyed]).toEqual([true, true]);
      return results.map((result) => (result as PromiseRejectedResult).reason);
    };
    const [one, two] = await refused(
      { password: PASSWORD, role: "initiator" },
      { password: "another password", role: "responder" },
    );
    expect(one).toMatchObject({ code: "ERR_AUTHENTICATION", message: expect.stringContaining("refused") });
    expect(two).toMatchObject({
      code: "ERR_AUTHENTICATION",
      message: expect.stringContaining("another password"),
    });
    const [without] = await refused({}, { password: PASSWORD });
    expect(without).toMatchObject({ code: "ERR_AUTHENTICATION" });
  });

  it("fails at silence, and with a stream that is over", async () => {
    const [stream] = await sockets();
    await expect(openLink(stream, { handshakeTimeout: 20 })).rejects.toMatchObject({ code: "ETIMEDOUT" });
    expect(stream.destroyed).toBe(true);
    await expect(openLink(stream)).rejects.toMatchObject({ code: "ERR_TRANSPORT" });
  });

  it.each<[string, unknown]>([
    ["unknown option", { passwort: PASSWORD }],
    ["short password", { password: "short" }],
    ["no password in an array", { password: [] }],
    ["three passwords", { password: [PASSWORD, PASSWORD, PASSWORD] }],
    ["encrypt without a password", { encrypt: true }],
    ["encrypt that is no boolean", { password: PASSWORD, encrypt: 1 }],
    ["unknown role", { role: "server" }],
    ["window that is too small", { window: 100 }],
    ["maxWindow below window", { window: 65_536, maxWindow: 2_000 }],
    ["maxUnread below window", { maxUnread: 2_000 }],
    ["handler that is no function", { onChannel: true }],
    ["empty group", { group: "" }],
  ])("rejects an %s with EINVAL, and leaves the stream alone", async (_, options) => {
    const [a] = duplexPair();
    await expect(openLink(a, options as MultiplexLinkOptions)).rejects.toMatchObject({ code: "EINVAL" });
    expect(a.destroyed).toBe(false);
  });

  it("rejects what is no stream, and names and options that open cannot have", async () => {
    const half = { on: () => undefined, write: () => undefined };
    for (const none of [{}, half, duplexPair()[0].setEncoding("utf8"), new PassThrough({ objectMode: true })])
      await expect(openLink(none as never)).rejects.toMatchObject({ code: "EINVAL" });
    const streams = duplexPair();
    const [a] = await link(streams, {}, {});
    await expect(openLink(streams[0])).rejects.toMatchObject({ code: "EINVAL" });
    expect(streams[0].destroyed).toBe(false);
    for (const name of ["", "x".repeat(256), 7 as never])
      await expect(a.open(name)).rejects.toMatchObject({ code: "EINVAL" });
    await expect(a.open("x", { prio: 1 } as never)).rejects.toMatchObject({ code: "EINVAL" });
  });
});

/** From this write on the stream throws, as a program's may. */
function breaking(stream: Duplex, writes: number): void {
  const write = stream._write;
  let left = writes;
  stream._write = (...given) => {
    left -= 1;
    if (left < 0) throw new Error("unplugged");
    write.apply(stream, given);
  };
}

it.each([0, 1])("a stream that throws after %s writes of the handshake makes no link", async (writes) => {
  const password = "correct horse battery staple";
  const [here, there] = duplexPair();
  destroying(here, there);
  breaking(here, writes);
  openLink(there, { password, role: "responder" }).catch(() => undefined);
  await expect(openLink(here, { password, role: "initiator" })).rejects.toMatchObject({
    code: "ERR_TRANSPORT",
    message: "The handshake failed: unplugged",
  });
  expect(here.destroyed).toBe(true);
});

it("a link ends by a stream that throws when it is written to", async () => {
  const [here, there] = duplexPair();
  const [one] = await link([here, there], {}, {});
  breaking(here, 0);
  await expect(one.open("x")).rejects.toMatchObject({
    code: "ERR_TRANSPORT",
    message: "The link ended: unplugged",
  });
  expect([one.ended, here.destroyed]).toEqual([true, true]);
});
