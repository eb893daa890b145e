/** Nodes with keys of their own over the host's sockets: who becomes a member, and what a change of the allowed keys does. */
import { createSocket } from "node:dgram";
import { rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { IdentityExchange } from "../../../src/cluster/admission/identities.js";
import { ClusterNode } from "../../../src/cluster/index.js";
import { NamespaceCodec } from "../../../src/cluster/net/namespace-codec.js";
import { Packet, PacketType, Update } from "../../../src/cluster/wire/packets.js";
import {
  encodeFrame,
  encodeHello,
  encodeProof,
  helloSize,
  streamWays,
} from "../../../src/cluster/wire/stream.js";
import { decodeZ85 } from "../../../src/core/z85.js";
import { keyPairOf } from "../../../src/engine/zmtp/mechanism/curve-box.js";
import { curveKeyPair } from "../../../src/sockets/security/curve-keys.js";
import { removeAfterEach } from "../../support/folders.js";
import { managerOf, portOf, reasonsOf, testNodes, together, until } from "../nodes.js";

const KEY = "01234567890123456789012345678901234567ab";
const [A, B, C, STRANGER] = [curveKeyPair(), curveKeyPair(), curveKeyPair(), curveKeyPair()];
const ALL = [A, B, C].map(({ publicKey }) => publicKey);
const { node, started } = testNodes(() => ({ multicast: false, key: KEY }));
const makeFolder = removeAfterEach();

function folder(...keys: readonly string[]): string {
  const path = makeFolder();
  keys.forEach((key, at) => void writeFileSync(join(path, `node-${at}`), `${key}\n`));
  return path;
}

describe("nodes with keys of their own", () => {
  it("keep out a node with the cluster's key and another key of its own, one without, and one that it does not trust", async () => {
    const a = await started("a", { curve: { ...A, allow: ALL } });
    const seeds = [a.address];
    const reasons = reasonsOf(a);
    const stranger = await started("x", { curve: { ...STRANGER, allow: ALL }, seeds });
    const refused = reasonsOf(stranger);
    await until(() => reasons.has("denied") && refused.has("peer"));
    const plain = await started("y", { seeds });
    await until(() => reasons.has("identity"));
    // Trust is mutual: it is allowed at a, and does not allow a.
    const wary = await started("b", { curve: { ...B, allow: [C.publicKey] }, seeds });
    const atWary = reasonsOf(wary);
    await until(() => atWary.has("denied") && reasons.has("peer"));
    expect([a, stranger, plain, wary].map((each) => each.members().length)).toEqual([1, 1, 1, 1]);
  });

  it("believe no datagram about a newMember, and none that removes a member, though it has the cluster's key", async () => {
    const a = await started("a", { curve: { ...A, allow: ALL } });
    const b = await started("b", { curve: { ...B, allow: ALL }, seeds: [a.address] });
    await together(2, a, b);
    const codec = new NamespaceCodec("default", [KEY]);
    const start = b.self.incarnation.start;
    const ghost = "e5".repeat(16);
    const updates = [
      Update.alive({ id: ghost, start, count: 1, name: "ghost@host", address: "127.0.0.1:9" }),
      Update.removal(b.id, Date.now() + 60_000, 1, true),
    ];
    const head = { type: PacketType.GOSSIP, from: b.id, start, count: 99, digest: 0 };
    const forged = new Packet(head, { updates });
    const socket = createSocket("udp4");
    const port = portOf(a);
    const before = a.stats().packetsReceived;
    for (let i = 0; i < 20; i++)
      await new Promise((resolve) => socket.send(codec.encode(forged), port, "127.0.0.1", resolve));
    await until(() => a.stats().packetsReceived >= before + 20);
    // b is asked over a stream, and knows nothing of it.
    await until(() => a.stats().links > 0);
    const names = a.members().map(({ name }) => name);
    expect(names.sort()).toEqual([a.name, b.name]);
    expect(b.removed).toBe(false);
    socket.close();
  });

  it("speak for themselves alone: a packet of another id ends the stream", async () => {
    const a = await started("a", { curve: { ...A, allow: ALL } });
    const id = "c7".repeat(16);
    const from = (sender: string): Packet => {
      const start = 1_800_000_000_000;
      const name = `${sender.slice(0, 4)}@host`;
      const alive = Update.alive({ id: sender, start, count: 1, name, address: "127.0.0.1:9" });
      const head = { type: PacketType.GOSSIP, from: sender, start, count: 1, digest: 0 };
      return new Packet(head, { updates: [alive] });
    };
    const socket = connect(portOf(a), "127.0.0.1");
    socket.on("error", () => undefined);
    const closed = new Promise<void>((resolve) => void socket.on("close", () => resolve()));
    let got = Buffer.alloc(0);
    socket.on("data", (bytes: Buffer) => {
      got = Buffer.concat([got, bytes]);
    });
    const initiator = encodeHello(Buffer.alloc(32, 9), "127.0.0.1:9");
    socket.write(initiator);
    await until(() => got.length > 38 && got.length >= helloSize(got));
    const responder = got.subarray(0, helloSize(got));
    const hellos = { initiator, responder };
    const exchange = new IdentityExchange(keyPairOf(decodeZ85(C.secretKey)), id, "initiator");
    const codec = new NamespaceCodec("default", [KEY]);
    const { toResponder } = streamWays(initiator, responder);
    const proof = encodeProof([codec.prove(toResponder)]);
    socket.write(Buffer.concat([encodeFrame(exchange.key), encodeFrame(proof)]));
    const frames = (): Buffer[] => {
      const found: Buffer[] = [];
      for (let at = responder.length; at + 4 <= got.length; at += 4 + got.readUInt32BE(at))
        found.push(got.subarray(at + 4, at + 4 + got.readUInt32BE(at)));
      return found;
    };
    await until(() => frames().length === 3 && frames()[2]?.length === 113);
    const [key, , identity] = frames() as [Buffer, Buffer, Buffer];
    expect(exchange.onKey(key)).toBe(true);
    expect(exchange.open(identity, hellos)).toEqual({ publicKey: A.publicKey, id: a.id });
    toResponder.secret = exchange.secret(hellos);
    socket.write(encodeFrame(exchange.identity(hellos)));
    socket.write(encodeFrame(codec.encodeStream(toResponder, from(id))));
    await until(() => a.members().length === 2);
    expect(a.member(id)?.name).toBe("c7c7@host");
    const { identity: before = 0 } = a.stats().dropped;
    socket.write(encodeFrame(codec.encodeStream(toResponder, from("e5".repeat(16)))));
    await closed;
    expect(a.stats().dropped.identity).toBe(before + 1);
    expect(a.member("e5".repeat(16))).toBeUndefined();
  });

  it("whose key leaves the folder lose their streams and their membership, on all nodes", async () => {
    const keys = folder(...ALL);
    const a = await started("a", { curve: { ...A, allow: keys } });
    const b = await started("b", { curve: { ...B, allow: keys }, seeds: [a.address] });
    const c = await started("c", { curve: { ...C, allow: keys }, seeds: [a.address] });
    const manager = managerOf(a, [c.address]);
    await together(3, a, b, c);
    await until(() => manager.status()[0]?.state === "connected");
    rmSync(join(keys, "node-2"));
    await together(2, a, b);
    await until(() => c.removed);
    await until(() => manager.status()[0]?.state !== "connected");
    // Started again it has another id, and the same key.
    const denied = (): number => a.stats().dropped.denied ?? 0;
    const before = denied();
    const again = await started("c", { curve: { ...C, allow: ALL }, seeds: [a.address] });
    await until(() => denied() > before);
    expect([again.members().length, a.members().length]).toEqual([1, 2]);
    // A new key is admitted without a restart of anybody.
    writeFileSync(join(keys, "node-2"), `${C.publicKey}\n`);
    await until(() => a.members().length === 3);
  });

  it("need the cluster's key, too, and a folder that can be read", async () => {
    const EINVAL = expect.objectContaining({ code: "EINVAL" });
    const curve = { ...A, allow: ALL };
    expect(() => new ClusterNode({ curve })).toThrow(EINVAL);
    const a = await started("a", { curve });
    expect(() => a.namespace("clear")).toThrow(EINVAL);
    const lost = node("lost", { curve: { ...A, allow: "/nowhere/at/all" } });
    await expect(lost.start()).rejects.toMatchObject({ code: "EINVAL" });
  });
});
