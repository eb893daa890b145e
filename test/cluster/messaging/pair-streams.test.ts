/** Messages over the streams between two nodes, in virtual time: whichever protocol made them. */
import { Duplex } from "node:stream";
import { describe, expect, it } from "vitest";
import {
  ClusterNode,
  type ClusterNodeOptions,
  type Member,
  streamProtocol,
} from "../../../src/cluster/index.js";
import { curveKeyPair, InvalidArgumentError } from "../../../src/index.js";
import type { World } from "../../../src/testing/index.js";
import { onOneHost, SETTLED } from "../simulated.js";
import { eagerPair, MemoryProtocol } from "./memory-protocol.js";

const HEARTBEAT = 600;

/** Two nodes with a stream for messages; what the second one gets of "t". */
function pair(
  options: ClusterNodeOptions,
  story: (pair: { a: ClusterNode; b: ClusterNode; got: string[] }, world: World) => Promise<void>,
): Promise<void> {
  return onOneHost(
    ["a", "b"],
    async ({ a, b }, world) => {
      const got: string[] = [];
      b.subscribe("t", ({ data }) => void got.push(String(data)));
      await world.advance(SETTLED);
      await a.publish("t", "first");
      await world.advance(SETTLED);
      expect(got.splice(0)).toEqual(["first"]);
      await story({ a, b, got }, world);
    },
    options,
  );
}

const protocolOf = (of: ClusterNode): string | undefined => of.stats().messaging?.links.peers[0]?.protocol;

/** From now on it takes what is written, and nothing comes of it. */
function swallow(stream: Duplex): void {
  stream._write = (_chunk, _encoding, callback) => callback();
  stream._writev = (_chunks, callback) => callback();
}

it.each([
  ["", {}],
  [" with a password", { password: "correct horse battery staple" }],
] as const)("two nodes have one stream%s, for membership and for messages both ways", (_, options) =>
  pair(options, async ({ a, b }, world) => {
    const back: string[] = [];
    await a.subscribe("back", ({ data }) => void back.push(String(data))).ready;
    await b.publish("back", "two");
    await world.advance(SETTLED);
    expect(back).toEqual(["two"]);
    a.serve("double", (body: number) => body * 2);
    expect(await b.request("double", 4, { waitForReady: true })).toBe(8);
    // Both may have dialled: one stream ends when it is idle.
    await world.until(() => a.stats().links === 1 && b.stats().links === 1);
    expect([protocolOf(a), protocolOf(b)]).toEqual(["tcp", "tcp"]);
    // Which is for no other node that may get the address.
    const stream = a.parts.sockets.streams.streamTo(b.address, "tcp", b.id);
    expect([stream?.id, stream?.isFor(a.id)]).toEqual([b.id, false]);
  }));

describe("a stream of a program's own protocol", () => {
  it("may give each end's bytes to the other within the write", () => {
    const wire = new MemoryProtocol("wire", eagerPair);
    return pair({ messaging: { protocols: [wire.protocol] } }, async ({ a, b }, world) => {
      let left = 2_000;
      const send = (): void => {
        if (left-- > 0) void a.sendTo(a.member("b") as Member, Buffer.alloc(100));
      };
      let back = 0;
      a.subscribe("self", () => {
        back += 1;
        send();
      });
      b.subscribe("self", ({ data, sender }) => void b.sendTo(sender, data));
      for (let i = 0; i < 200; i++) send();
      await world.until(() => back === 2_000);
      await world.advance(SETTLED);
      expect(wire.streams.map(({ writableCorked }) => writableCorked)).toEqual(wire.streams.map(() => 0));
    });
  });

  it("that swallows what is sent is given up after two heartbeats, and what it had goes by the next protocol", () => {
    const wire = new MemoryProtocol("wire");
    const messaging = { protocols: [wire.protocol, "tcp"], heartbeat: HEARTBEAT } as const;
    return pair({ messaging }, async ({ a, got }, world) => {
      expect(protocolOf(a)).toBe("wire");
      for (const stream of wire.streams) swallow(stream);
      wire.fails = true;
      const start = world.now;
      await a.publish("t", "two");
      await world.until(() => got.length === 1);
      expect(Math.round((world.now - start) / HEARTBEAT)).toBe(2);
      expect([got, protocolOf(a), a.stats().dropped["link:silent"]]).toEqual([["two"], "tcp", 1]);
    });
  });

  it("is sealed where the cluster has a key, and leads to no node without it", () => {
    const wire = new MemoryProtocol("wire");
    const written: Buffer[] = [];
    const options = { key: curveKeyPair().secretKey, messaging: { protocols: [wire.protocol] } };
    return pair(options, async ({ a, got }, world) => {
      for (const stream of wire.streams) stream.on("data", (chunk) => written.push(chunk));
      await a.publish("t", "a secret that nobody reads");
      await world.advance(SETTLED);
      expect([got.length, written.length > 0]).toEqual([1, true]);
      expect(Buffer.concat(written).includes("secret")).toBe(false);
    });
  });

  it("is destroyed if its node closes while it opens", () => {
    const streams: Duplex[] = [];
    const mine = streamProtocol({
      name: "mine",
      listen: async () => ({ advert: "x", close: async () => undefined }),
      connect: async () => {
        const stream = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
        streams.push(stream);
        return stream;
      },
    });
    return pair({ messaging: { protocols: ["tcp", mine] } }, async ({ a, b }, world) => {
      void a.send({ members: [b.id], protocols: ["mine"] });
      await world.until(() => streams.length === 1);
      await a.close({ linger: 0 });
      await world.until(() => streams[0]?.destroyed === true, 10_000);
    });
  });
});

it("protocols of another form are refused before anything is opened", () => {
  const nothing = (): never => ({}) as never;
  for (const options of [
    undefined,
    null,
    {},
    { name: "x", listen: nothing },
    { name: "x", conect: nothing },
    { name: 10n, listen: nothing, connect: nothing },
    { name: "No name", listen: nothing, connect: nothing },
    { name: "x", listen: nothing, connect: nothing, reaches: true },
  ])
    expect(() => streamProtocol(options as never)).toThrow(InvalidArgumentError);
  const wire = new MemoryProtocol("wire").protocol;
  for (const protocols of [[], [wire, wire], ["udp"], [{ name: "x" }], Array(9).fill("tcp"), "tcp", ["tls"]])
    expect(() => new ClusterNode({ messaging: { protocols: protocols as never } })).toThrow(
      InvalidArgumentError,
    );
});
