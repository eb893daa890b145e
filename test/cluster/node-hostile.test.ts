/** Junk, strangers and recordings at a node's sockets: counted by their reason, and none changes who is a member. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import type { Socket } from "node:net";
import { setImmediate } from "node:timers/promises";
import { beforeEach, describe, expect, it, vi } from "vitest";
import type { ClusterNode } from "../../src/cluster/index.js";
import { encodeHello } from "../../src/cluster/wire/stream.js";
import { Relay } from "../support/relay.js";
import { dropped, portOf, strangers, testNodes } from "./nodes.js";

const KEY = "01234567890123456789012345678901234567ab";
const OTHER = [...KEY].reverse().join("");
const { started } = testNodes(() => ({ multicast: false, key: KEY }));
const dial = strangers();
const dialled = async (): Promise<Socket> => (await dial(a)).resume();
const hello = (address: string): Buffer => encodeHello(Buffer.alloc(32, 7), address);

let a: ClusterNode;
beforeEach(async () => {
  a = await started("a");
});

describe("hostile datagrams", () => {
  async function sent(...packets: readonly Buffer[]): Promise<void> {
    const socket = createSocket("udp4");
    for (const packet of packets)
      await new Promise<void>((resolve) => socket.send(packet, portOf(a), "127.0.0.1", () => resolve()));
    socket.close();
  }
  const prefix = Buffer.from("37a8eec1ce19", "hex"); // Of the namespace "default".

  it("are counted by what is wrong with them", async () => {
    await sent(
      Buffer.alloc(0),
      Buffer.from([9]),
      Buffer.alloc(60_000, 1),
      Buffer.concat([Buffer.from([1]), prefix, Buffer.alloc(40)]),
      Buffer.concat([Buffer.from([0x81]), prefix, Buffer.alloc(80)]),
      Buffer.concat([Buffer.from([0x81]), Buffer.alloc(80)]),
    );
    await dropped(a, "junk", 2);
    await dropped(a, "cluster", 2);
    await dropped(a, "unsealed");
    await dropped(a, "key");
    expect(a.members().length).toBe(1);
  });

  it("that were recorded are refused when they come again", async () => {
    const recorded: Buffer[] = [];
    // Between a and b: what b sends to a by way of this socket is kept.
    const relay = createSocket("udp4");
    relay.bind(0, "127.0.0.1");
    await once(relay, "listening");
    let back = 0;
    relay.on("message", (bytes, from) => {
      if (from.port === portOf(a)) relay.send(bytes, back, "127.0.0.1");
      else {
        back = from.port;
        recorded.push(bytes);
        relay.send(bytes, portOf(a), "127.0.0.1");
      }
    });
    const b = await started("b", { seeds: [`127.0.0.1:${relay.address().port}`] });
    while (a.members().length < 2) await a.events.receive({ timeout: 5_000 });
    await b.leave();
    while (a.members().length > 1) await a.events.receive({ timeout: 5_000 });
    relay.close();
    expect(recorded.length).toBeGreaterThan(0);
    await sent(...recorded, ...recorded);
    await dropped(a, "replayed", 2 * recorded.length);
    expect(a.members().length).toBe(1);
  });
});

describe("hostile streams", () => {
  it("end when they begin with junk, and when they announce a name in place of an address", async () => {
    const junk = await dialled();
    junk.write(Buffer.alloc(64, 0x55));
    const name = await dialled();
    name.write(hello("example.com:80"));
    await Promise.all([once(junk, "close"), once(name, "close")]);
    expect(a.stats().dropped["link:hello"]).toBe(2);
  });

  it("end after a while without a word, and without a genuine packet", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const [silent, half] = [await dialled(), await dialled()];
      half.write(hello("127.0.0.1:9"));
      // The node says hello as it accepts.
      while (silent.bytesRead === 0 || half.bytesRead === 0) await setImmediate();
      vi.advanceTimersByTime(9_000);
      expect(a.stats().dropped["link:timeout"]).toBeUndefined();
      vi.advanceTimersByTime(1_000);
      await Promise.all([once(silent, "close"), once(half, "close")]);
      expect(a.stats().dropped["link:timeout"]).toBe(2);
    } finally {
      vi.useRealTimers();
    }
  });

  it("of another key, and those that were recorded, are refused at their first packet", async () => {
    // Between b and a: what b writes is kept.
    const recorded: Buffer[] = [];
    const relay = await Relay.to(`tcp://${a.address}`);
    relay.change = (bytes, direction) => {
      if (direction === "up") recorded.push(bytes);
      return bytes;
    };
    // Its datagrams go nowhere: it joins by the stream.
    const b = await started("b", { seeds: [relay.endpoint.slice("tcp://".length)] });
    while (a.members().length < 2) await a.events.receive({ timeout: 10_000 });
    await b.leave();
    while (a.members().length > 1) await a.events.receive({ timeout: 5_000 });
    await relay.close();
    const again = await dialled();
    again.write(Buffer.concat(recorded));
    await once(again, "close");
    await dropped(a, "replayed");
    const stranger = await started("c", { seeds: [a.address], key: OTHER });
    await dropped(a, "key");
    expect([a, stranger].map((each) => each.members().length)).toEqual([1, 1]);
  });
});
