/** Names over many links, with callbacks: `MultiplexTransport`. */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { type Duplex, duplexPair } from "node:stream";
import { expect, it } from "vitest";
import { UnroutableError } from "../../src/core/errors.js";
import { encodeMessage } from "../../src/link/frames.js";
import {
  type MultiplexLink,
  MultiplexTransport,
  type MultiplexTransportOptions,
  openLink,
} from "../../src/link/index.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { gate } from "../support/gate.js";
import { listening } from "../support/listening.js";
import { LONG } from "../support/long.js";

const PASSWORD = "cluster password";
const closing = closeAfterEach();
const transport = (options?: MultiplexTransportOptions): MultiplexTransport =>
  closing(new MultiplexTransport(PASSWORD, options));

/** What a name's callbacks get, as lines; and a wait for some of them. */
class Notes {
  readonly lines: string[] = [];
  #onLine: (() => void) | undefined;

  readonly status = (_link: MultiplexLink, status: string, name: string): void =>
    this.add(`${name} ${status}`);
  readonly data = (_link: MultiplexLink, data: Buffer, name: string): void => this.add(`${name}: ${data}`);

  add(line: string): void {
    this.lines.push(line);
    this.#onLine?.();
  }

  async until(count: number): Promise<string[]> {
    while (this.lines.length < count)
      await new Promise<void>((resolve) => {
        this.#onLine = resolve;
      });
    return this.lines;
  }
}

async function join(a: MultiplexTransport, b: MultiplexTransport): Promise<[MultiplexLink, MultiplexLink]> {
  const [x, y] = duplexPair();
  return Promise.all([a.openLink(x, undefined, { role: "initiator" }), b.openLink(y)]);
}

/** The name "x", open at both ends of a link. @param onData of the second one */
async function withName(
  options?: MultiplexTransportOptions,
  onData: (atB: Notes) => (link: MultiplexLink, data: Buffer) => unknown = () => () => undefined,
) {
  const [a, b] = [transport(), transport(options)];
  const [atA, atB] = [new Notes(), new Notes()];
  a.open("x", atA.status, atA.data);
  b.open("x", atB.status, onData(atB));
  const [stream, other] = duplexPair();
  const [link, back] = await Promise.all([
    a.openLink(stream, undefined, { role: "initiator" }),
    b.openLink(other),
  ]);
  await Promise.all([atA.until(1), atB.until(1)]);
  return { a, b, atA, atB, link, back, stream };
}

it("a name is open when both ends have opened it, in any order, and data comes in order", async () => {
  const [a, b] = [transport(), transport()];
  const [atA, atB] = [new Notes(), new Notes()];
  a.open("early", atA.status, atA.data);
  const [link] = await join(a, b);
  await expect(a.sendFrame(link, "early", Buffer.from("x"))).rejects.toMatchObject({ code: "EHOSTUNREACH" });
  b.open("early", atB.status, atB.data);
  expect(await atA.until(1)).toEqual(["early open"]);
  expect(await atB.until(1)).toEqual(["early open"]);
  const texts = ["one", "", "x".repeat(200_000), "four"];
  await Promise.all(texts.map((each) => a.sendFrame(link, "early", Buffer.from(each))));
  expect((await atB.until(5)).slice(1)).toEqual(texts.map((each) => `early: ${each}`));
  expect([a.isOpen("early"), b.isOpen("late"), a.stats().sent, b.stats().received]).toEqual([
    true,
    false,
    4,
    4,
  ]);
  expect(a.status()).toMatchObject([{ address: undefined, names: ["early"] }]);
  expect([b.close("early"), b.close("early")]).toEqual([true, false]);
  expect(await atA.until(2)).toEqual(["early open", "early closed"]);
  await expect(a.sendFrame(link, "early", Buffer.from("x"))).rejects.toMatchObject({ code: "EHOSTUNREACH" });
});

it("a callback that is busy stops its own sender and no other name, and a full queue refuses", async () => {
  const [a, b] = [transport({ maxQueueBytes: 100_000 }), transport({ window: 4_096, maxWindow: 4_096 })];
  const notes = new Notes();
  const { passed: busy, open: release } = gate();
  const opened = new Notes();
  a.open("busy", opened.status, opened.data);
  a.open("other", opened.status, opened.data);
  b.open("busy", notes.status, (_link, data) => busy.then(() => notes.add(`busy ${data.length}`)));
  b.open("other", notes.status, notes.data);
  const [link] = await join(a, b);
  await Promise.all([opened.until(2), notes.until(2)]);
  const sends = [
    a.sendFrame(link, "busy", Buffer.alloc(60_000)),
    a.sendFrame(link, "busy", Buffer.alloc(30_000)),
  ];
  await expect(a.sendFrame(link, "busy", Buffer.alloc(60_000))).rejects.toMatchObject({
    code: "ERR_TOO_MANY_PENDING",
  });
  await a.sendFrame(link, "other", Buffer.from("hello"));
  expect((await notes.until(3))[2]).toBe("other: hello");
  release();
  await Promise.all(sends);
  expect((await notes.until(5)).slice(3)).toEqual(["busy 60000", "busy 30000"]);
  expect(a.stats().refused).toBe(1);
});

it.each<[string, (a: MultiplexTransport, b: MultiplexTransport, stream: Duplex) => unknown]>([
  ["the other end closes the name", (_a, b) => b.close("x")],
  ["the stream is cut", (_a, _b, stream) => stream.destroy()],
  ["the transport is closed", (a) => a.close({ linger: 0 })],
])("messages that wait are settled with an error when %s", async (_when, cut) => {
  // The first message keeps its reader busy until the end.
  const busy = (notes: Notes) => () => new Promise(() => notes.add("read"));
  const { a, b, atB, link, stream } = await withName({ window: 4_096, maxWindow: 4_096 }, busy);
  const sends = Promise.allSettled(
    Array.from({ length: 4 }, () => a.sendFrame(link, "x", Buffer.alloc(4_000))),
  );
  await atB.until(2);
  cut(a, b, stream);
  const codes = (await sends).map((each) => (each.status === "fulfilled" ? "sent" : each.reason.code));
  expect(codes.at(-1)).toBe("ERR_TRANSPORT");
  expect(a.stats().sent).toBe(codes.filter((each) => each === "sent").length);
});

it("a name that both ends close and open at any time is open in both directions in the end", async () => {
  let seed = 7;
  const random = (below: number): number => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % below;
  };
  for (let round = 0; round < (LONG ? 40 : 12); round++) {
    const ends = [transport(), transport()] as const;
    const links = await join(...ends);
    const notes = [new Notes(), new Notes()] as const;
    const toggle = (i: 0 | 1): void => {
      if (!ends[i].close("x")) ends[i].open("x", notes[i].status, notes[i].data);
    };
    for (let step = 0; step < 12; step++) {
      const i = random(2) as 0 | 1;
      for (let times = 1 + random(2); times > 0; times--) toggle(i);
      for (let turns = random(4); turns > 0; turns--) await new Promise(setImmediate);
    }
    for (const i of [0, 1] as const) if (!ends[i].isOpen("x")) toggle(i);
    // Longer than what is on its way needs: what is open then stays so.
    for (let turns = 0; turns < 20; turns++) await new Promise(setImmediate);
    expect(ends.map((each) => each.status()[0]?.names)).toEqual([["x"], ["x"]]);
    await Promise.all(
      ends.map((each, i) => each.sendFrame(links[i] as MultiplexLink, "x", Buffer.from("last"))),
    );
    for (const { lines } of notes) while (lines.at(-1) !== "x: last") await new Promise(setImmediate);
    for (const each of ends) await each.close({ linger: 0 });
  }
});

it("a name that is closed gets nothing more, and what its callback reopens stays open", async () => {
  const [a, b] = [transport(), transport()];
  const [atA, atB] = [new Notes(), new Notes()];
  a.open("x", atA.status, atA.data);
  b.open(
    "x",
    (link, status, name) => {
      atB.status(link, status, name);
      if (status === "closed") b.open("x", atB.status, atB.data);
    },
    (link, data, name) => {
      atB.data(link, data, name);
      b.close("x");
    },
  );
  const [link] = await join(a, b);
  await Promise.all([atA.until(1), atB.until(1)]);
  await Promise.allSettled(["one", "two", "three"].map((each) => a.sendFrame(link, "x", Buffer.from(each))));
  await atA.until(3);
  await a.sendFrame(link, "x", Buffer.from("four"));
  expect(await atB.until(5)).toEqual(["x open", "x: one", "x closed", "x open", "x: four"]);
});

it("a message that is too long for the other end ends its channel there, with an event", async () => {
  const { a, b, atA, link } = await withName({ maxMessageSize: 1_000 });
  const failed = new Promise((resolve) => b.events.once("channel:failed", resolve));
  await expect(a.sendFrame(link, "x", Buffer.alloc(2_000_000))).rejects.toMatchObject({ code: "EINVAL" });
  await a.sendFrame(link, "x", Buffer.alloc(2_000)).catch(() => undefined);
  expect(await failed).toMatchObject({
    name: "x",
    error: { message: expect.stringContaining("maxMessageSize") },
  });
  expect(await atA.until(2)).toEqual(["x open", "x closed"]);
});

it("a channel that ends within a message is reported", async () => {
  const a = transport();
  a.open("x", new Notes().status, new Notes().data);
  const [stream, there] = duplexPair();
  const [, other] = await Promise.all([a.openLink(stream), openLink(there, { password: PASSWORD })]);
  const failed = new Promise((resolve) => a.events.once("channel:failed", resolve));
  const channel = await other.openMessages("x");
  channel.on("error", () => undefined).end(encodeMessage(Buffer.from("whole")).subarray(0, 3));
  const error = { message: "A channel ended within a message" };
  expect(await failed).toMatchObject({ name: "x", error });
});

it("knows its connections by address, and reports when they end", async () => {
  const [a, b] = [transport(), transport()];
  const server = createServer();
  const port = await listening(server);
  const accepted = once(server, "connection");
  const socket = connect(port, "127.0.0.1");
  const [other] = (await accepted) as [Socket];
  const states: string[] = [];
  const notes = new Notes();
  await Promise.all([
    a.openLink(socket, (_link, status) => {
      states.push(status);
      notes.add(status);
    }),
    b.openLink(other),
  ]);
  expect([
    a.hasConnection(`127.0.0.1:${port}`),
    a.hasConnection("127.0.0.1"),
    a.hasConnection("127.0.0.2"),
  ]).toEqual([true, true, false]);
  other.resetAndDestroy();
  expect(await notes.until(2)).toEqual(["connected", "ended"]);
  expect([a.hasConnection("127.0.0.1"), a.stats().links]).toEqual([false, 0]);
});

it("forgets a link that is closed while a name is being opened on it", async () => {
  const a = transport({ maxLinks: 1 });
  const notes = new Notes();
  const [x, y] = duplexPair();
  const [link, other] = await Promise.all([a.openLink(x), openLink(y, { password: PASSWORD })]);
  const came = new Promise<void>((resolve) => {
    link.events.on("channel:opened", ({ isOwn }) => isOwn || resolve());
  });
  a.open("x", notes.status, notes.data);
  const opened = other.openMessages("x").catch(() => undefined);
  await came;
  expect(a.status()).toMatchObject([{ link, names: [] }]);
  await link.close({ linger: 0 });
  await opened;
  expect([a.stats().links, a.status(), notes.lines]).toEqual([0, [], []]);
  await join(a, transport());
});

it("asks an end that opens a name and refuses it here once more, and not without end", async () => {
  const a = transport();
  const [x, y] = duplexPair();
  let refused = 0;
  const [, other] = await Promise.all([
    a.openLink(x, undefined, { role: "initiator" }),
    openLink(y, {
      password: PASSWORD,
      onChannel: (channel) => {
        channel.on("error", () => undefined);
        if (channel.name !== "x") return;
        refused += 1;
        throw new UnroutableError("not here");
      },
    }),
  ]);
  const notes = new Notes();
  a.open("x", notes.status, notes.data);
  (await other.openMessages("x")).on("error", () => undefined);
  // Each is a round trip at least.
  for (let i = 0; i < 20; i++) {
    a.open(`y${i}`, notes.status, notes.data);
    await notes.until(i + 1);
  }
  expect(notes.lines).toEqual(Array.from({ length: 20 }, (_, i) => `y${i} open`));
  expect(refused).toBe(2);
});

it("refuses names, callbacks, passwords and links that it cannot have", async () => {
  const a = transport({ maxLinks: 1 });
  const nothing = (): void => undefined;
  const code = (call: () => unknown): unknown => {
    try {
      call();
      return undefined;
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
  expect([
    code(() => a.open("", nothing, nothing)),
    code(() => a.open("x", undefined as never, nothing)),
    code(() => new MultiplexTransport("short")),
    code(() => new MultiplexTransport(PASSWORD, { maxLink: 1 } as never)),
  ]).toEqual(Array(4).fill("EINVAL"));
  a.open("x", nothing, nothing);
  expect(code(() => a.open("x", nothing, nothing))).toBe("EFSM");
  const full = transport();
  for (let i = 0; i < 4_096; i++) full.open(`${i}`, nothing, nothing);
  expect(code(() => full.open("more", nothing, nothing))).toBe("EFSM");
  await join(a, transport());
  await expect(a.openLink(duplexPair()[0])).rejects.toMatchObject({ code: "EFSM" });
  await a.close();
  expect(code(() => a.open("y", nothing, nothing))).toBe("EBADF");
});
