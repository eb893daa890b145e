/** Nodes on the ZRE plane over real sockets, on the loopback interface: its broadcast address reaches all of them. */
import dgram from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { Dealer } from "../../src/index.js";
import { BeaconSockets } from "../../src/zre/beacon.js";
import { encodeBare, encodeBeacon, encodeHello, identityOf, ZreCommand } from "../../src/zre/codec.js";
import type { ZreEvent } from "../../src/zre/rules.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { listening } from "../support/listening.js";
import { LONG } from "../support/long.js";
import { freePort } from "../support/ports.js";
import { Plane, type PlaneOptions } from "./planes.js";

let port = 0;
const closing = closeAfterEach();

beforeEach(async () => {
  port = await freePort();
});

type EventOf<T extends ZreEvent["type"]> = ZreEvent & { readonly type: T };

/** A node, and all that happens to it. */
class Seen {
  readonly plane: Plane;
  readonly events: ZreEvent[] = [];
  constructor(options: PlaneOptions = {}) {
    this.plane = new Plane({ port, interface: "lo", ...options });
    closing(this.plane);
    for (const type of ["enter", "exit", "join", "leave", "evasive", "whisper", "shout"] as const)
      this.plane.events.on(type, (event) => void this.events.push(event));
  }
  /** Waits for an event of a type that fits. */
  async until<T extends ZreEvent["type"]>(
    type: T,
    fits: (event: EventOf<T>) => boolean = () => true,
  ): Promise<EventOf<T>> {
    const find = () => this.events.find((event) => event.type === type && fits(event as EventOf<T>));
    for (;;) {
      const found = find();
      if (found !== undefined) return found as EventOf<T>;
      await new Promise<void>((resolve) => void this.plane.events.once(type, () => resolve()));
    }
  }
}

async function start(options: PlaneOptions = {}): Promise<Seen> {
  const seen = new Seen(options);
  await seen.plane.start();
  return seen;
}

/** A DEALER at a node's mailbox that says it is a peer. */
function stranger(at: Plane, uuid: string): Dealer {
  const dealer = closing(new Dealer({ routingId: identityOf(uuid), linger: 0 }));
  dealer.connect(at.endpoint);
  return dealer;
}

const UUID = "ab".repeat(16);
const hello = (endpoint = "tcp://127.0.0.1:9", groups: string[] = []): Buffer =>
  encodeHello(1, { endpoint, groups, status: groups.length & 0xff, name: "stranger", headers: {} });

/** Until something that has no event holds. */
const eventually = (holds: () => boolean): Promise<void> =>
  vi.waitFor(() => expect(holds()).toBe(true), { timeout: 20_000, interval: 10 });

describe("nodes on the plane", () => {
  it("send their first beacon before start() resolves, not in a turn to come", async () => {
    const sent = vi.spyOn(dgram.Socket.prototype, "send");
    try {
      await start();
      expect(
        sent.mock.calls.map(([bytes]) => (bytes as unknown as Buffer).subarray(0, 4).toString("latin1")),
      ).toEqual(["ZRE\x01"]);
    } finally {
      sent.mockRestore();
    }
  });

  it("leave nothing open where another program keeps the port of the beacons to itself", async () => {
    const other = dgram.createSocket("udp4");
    await once(other.bind(port), "listening");
    const plane = new Plane({ port, interface: "lo" });
    await expect(plane.start()).rejects.toMatchObject({ code: "EADDRINUSE" });
    expect(plane.endpoint).toBe("");
    await plane.close();
    await new Promise<void>((resolve) => void other.close(resolve));
    // The port is free: neither the socket that hears nor the one that sends is left.
    const alone = dgram.createSocket("udp4");
    closing({ close: () => alone.close() });
    await new Promise<void>((resolve, reject) => void alone.once("error", reject).bind(port, resolve));
  });

  it("send what waits before they leave", async () => {
    const [a, b] = [await start({ name: "a" }), await start({ name: "b" })];
    await Promise.all([a.until("enter"), b.until("enter")]);
    for (let i = 0; i < 500; i++) b.plane.whisper("a", `${i}`);
    await b.plane.close();
    await a.until("exit");
    expect(a.events.filter(({ type }) => type === "whisper")).toHaveLength(500);
  });

  it("opens no mailbox for a beacon that comes while it closes: nobody would close it", async () => {
    const a = await start();
    const node = dgram.createSocket("udp4").bind(0, "127.0.0.1");
    closing({ close: () => node.close() });
    await once(node, "listening");
    node.setBroadcast(true);
    let connections = 0;
    const mailbox = createServer((socket) => {
      connections += 1;
      socket.destroy();
    });
    const at = await listening(mailbox);
    let release = (): void => undefined;
    const sent = new Promise<boolean>((resolve) => {
      release = () => resolve(true);
    });
    // It sends its farewells for as long as the test takes.
    const farewells = vi.spyOn(BeaconSockets.prototype, "send").mockReturnValue(sent);
    try {
      const closed = a.plane.close();
      await eventually(() => farewells.mock.calls.length > 0);
      node.send(encodeBeacon(UUID, at), port, "127.255.255.255");
      await eventually(() => a.plane.counts.endpoint === 1);
      release();
      await closed;
      expect(connections).toBe(0);
    } finally {
      release();
      farewells.mockRestore();
    }
  });

  it.runIf(LONG)(
    "are 35 on one host, and all see all: more mailboxes than a context has sockets",
    async () => {
      const all = await Promise.all(Array.from({ length: 35 }, () => start()));
      await eventually(() => all.every(({ plane }) => plane.peers().length === 34));
      expect(all.flatMap(({ events }) => events.filter(({ type }) => type === "exit"))).toEqual([]);
    },
  );
});

it("a caller's mistake throws before anything changes", async () => {
  expect(() => new Plane({ name: "n".repeat(256) })).toThrow(/256 bytes/);
  expect(() => new Plane({ headers: { a: 1 } as never })).toThrow(/not a string/);
  expect(() => new Plane({ port: 0 })).toThrow(/port/);
  expect(() => new Plane({ prot: 1 } as never)).toThrow(/did you mean port/);
  const { plane } = new Seen();
  expect(() => plane.shout("g", "x")).toThrow(/was not started/);
  await plane.start();
  expect(() => plane.join("")).toThrow(/group is empty/);
  expect(() => plane.join("g".repeat(256))).toThrow(/256 bytes/);
  expect(() => plane.whisper("nobody", "x")).toThrow(/unknown ZRE peer "nobody"/);
  expect(() => plane.shout("g", 1 as never)).toThrow(/a frame must be a text or bytes/);
  expect(() => plane.shout("g", ...Array<string>(1_025).fill("x"))).toThrow(/1024 frames/);
  const EINVAL = expect.objectContaining({ code: "EINVAL" });
  for (const wrong of [undefined, 5, Object.create(null)]) {
    expect(() => plane.peer(wrong as never)).toThrow(EINVAL);
    expect(() => plane.whisper(wrong as never, "x")).toThrow(EINVAL);
  }
  const transferred = Uint8Array.of(1);
  structuredClone(transferred.buffer, { transfer: [transferred.buffer] });
  expect(() => plane.shout("g", transferred)).toThrow(EINVAL);
  for (let i = 0; i < 256; i++) plane.join(`${i}`);
  expect(() => plane.join("one more")).toThrow(/at most 256 groups/);
  expect(plane.groups).toHaveLength(256);
  await expect(new Seen({ interface: "no-such" }).plane.start()).rejects.toThrow(/no-such/);
  const closed = plane.close();
  const EBADF = expect.objectContaining({ code: "EBADF" });
  for (const call of ["join", "leave", "shout", "whisper"] as const)
    expect(() => plane[call]("0"), call).toThrow(EBADF);
  await closed;
  expect(() => plane.shout("0")).toThrow(EBADF);
});

describe("a hostile peer", () => {
  it("is not entered by junk, commands before HELLO, and endpoints that nobody should dial", async () => {
    const a = await start();
    const dealer = stranger(a.plane, UUID);
    await dealer.send(encodeBare(ZreCommand.PING, 1));
    await dealer.send(Buffer.from("junk"));
    await dealer.send([Buffer.alloc(0)]);
    for (const endpoint of [
      "ipc:///tmp/x",
      "inproc://x",
      "tcp://a;b:1",
      "tcp://127.0.0.1:0",
      "tcp://127.0.0.1:70000",
      "",
      "x",
    ])
      await dealer.send(hello(endpoint));
    const anonymous = closing(new Dealer({ linger: 0 }));
    anonymous.connect(a.plane.endpoint);
    await anonymous.send(hello());
    await eventually(() => a.plane.counts.endpoint === 7 && a.plane.counts.identity === 1);
    expect(a.plane.counts).toEqual({ signature: 1, truncated: 1, identity: 1, hello: 1, endpoint: 7 });
    expect(a.plane.peers()).toEqual([]);
  });

  it("with a name for a host is dialled where it comes from after its second connection took over, too", async () => {
    const a = await start();
    const first = closing(new Dealer({ routingId: identityOf(UUID), linger: 0, reconnectInterval: -1 }));
    first.connect(a.plane.endpoint);
    await first.send(encodeBare(ZreCommand.PING, 1));
    await eventually(() => a.plane.counts.hello === 1);
    const second = stranger(a.plane, UUID);
    await new Promise((resolve) => first.events.once("disconnect", resolve));
    await second.send(hello("tcp://no-such-host.invalid:9"));
    expect((await a.until("enter")).peer.name).toBe("stranger");
  });

  it("with a name for a host is dialled at its own address, not at this node's", async () => {
    const a = await start();
    const mailbox = createServer((socket) => socket.destroy());
    const at = await listening(mailbox, "127.0.0.2");
    const dialled = once(mailbox, "connection");
    const dealer = closing(new Dealer({ routingId: identityOf(UUID), linger: 0 }));
    dealer.connect(`tcp://127.0.0.2:0;${a.plane.endpoint.slice(6)}`);
    await dealer.send(hello(`tcp://no-such-host.invalid:${at}`));
    await dialled;
  });

  it("that never reads is dropped, and takes no memory without end", async () => {
    const a = await start({ maxQueue: 50 });
    const dealer = stranger(a.plane, UUID);
    await dealer.send(hello("tcp://127.0.0.1:9"));
    await a.until("enter");
    let sent = 0;
    const flood = (): void => {
      for (; sent < 1_000; sent++) a.plane.whisper(UUID, Buffer.alloc(10_000));
    };
    expect(flood).toThrow(/was full/);
    expect(sent).toBeLessThan(60);
    expect((await a.until("exit")).reason).toBe("full");
    expect(() => a.plane.whisper(UUID, "x")).toThrow(/unknown ZRE peer/);
  });
});
