/** docs/spec/clone.md: its vectors are what this code writes, and read back what it says; of 12/CHP what is refused. */
import { expect, test } from "vitest";
import {
  CONFLICT,
  conditionOf,
  encodeSetProperties,
  encodeSupport,
  encodeTimeToLive,
  encodeUnchanged,
  hasLine,
  property,
  REFUSED_LINE,
  revisionOf,
  SUPPORT,
  SubtreeSequences,
  subtreeName,
  subtreeSequence,
  timeToLive,
} from "../../../src/patterns/clone/properties.js";
import {
  EMPTY,
  encodeGoodbye,
  encodeHugz,
  encodeRequest,
  encodeSet,
  endpointAt,
  endpointsOf,
  isSubtree,
  sequenceFrame,
  uuidsOf,
} from "../../../src/patterns/clone/protocol.js";
import {
  encodeEnd,
  encodeUpdate,
  parseLink,
  parseUpdate,
  standingOf,
} from "../../../src/patterns/clone/replication.js";
import { UuidWindow } from "../../../src/patterns/clone/server-state.js";
import { encodeEntry } from "../../../src/patterns/clone/snapshots.js";
import { encodePosition, encodeStanding } from "../../../src/patterns/clone/standing.js";
import { framesOf, hexOf, vectorsOf } from "../vectors.js";

const [K, V] = [Buffer.from("k"), Buffer.from("v")];
const UUID = Buffer.alloc(16, 0xab);
const SESSION = Buffer.alloc(8, 1);
const MAP = "1111111111111111";
const published = (properties: Buffer, value: Buffer): Buffer[] => [
  K,
  sequenceFrame(19),
  UUID,
  properties,
  value,
];

function subtree(): Buffer {
  const subtrees = new SubtreeSequences();
  subtrees.register(Buffer.from("/a/"), 17);
  return subtrees.of(Buffer.from("/a/"));
}

const STANDING = { map: MAP, term: 4, alone: true };
const UPDATE = { key: K, uuid: UUID, counted: true, condition: undefined };
const WRITTEN: Readonly<Record<string, readonly Buffer[]>> = {
  "KTHXBAI at 42, whole map": encodeGoodbye(42, EMPTY, encodeSupport(EMPTY)),
  "KTHXBAI at 42, subtree `/a/`, number 1, last changed at 17": encodeGoodbye(
    42,
    Buffer.from("/a/"),
    encodeSupport(subtree()),
  ),
  "KVSET of `k` to `v`, if its revision is 17": encodeSet(K, UUID, encodeSetProperties(0, 17), V),
  "KVSET of `k` to `v` for 5 s, if it is missing": encodeSet(K, UUID, encodeSetProperties(5_000, 0), V),
  "KVPUB at 19: a repeated update, `k` is `v` since 17": published(encodeUnchanged(0, 17, false), V),
  "KVPUB at 19: a conflict, `k` is `v` since 17": published(encodeUnchanged(0, 17, true), V),
  "KVPUB at 19: a conflict, `k` is missing": published(encodeUnchanged(0, 0, true), EMPTY),
  "KVPUB: no room for the update of `k`": encodeSet(K, UUID, REFUSED_LINE, EMPTY),
  "ICANHAZ of a follower": [SESSION, ...encodeRequest(EMPTY)],
  "HUGZ at 42": [SESSION, ...encodeHugz(42)],
  "KVSYNC of `k`, revision 17, 5 s left, `v`": [
    SESSION,
    ...encodeEntry({ key: K, sequence: 17, value: V }, encodeTimeToLive(5_000)),
  ],
  "KTHXBAI at 42, one UUID, standing as below": [SESSION, ...encodeEnd(42, STANDING, UUID)],
  "KVPUB 18: `k` set to `v` for 5 s": [
    SESSION,
    ...encodeUpdate({
      ...UPDATE,
      kind: "set",
      properties: Buffer.from("ttl=5\n"),
      value: V,
      expires: 6_000,
      sequence: 18,
    }),
  ],
  "KVPUB 19: a conflict at `k`": [
    SESSION,
    ...encodeUpdate({
      ...UPDATE,
      kind: "conflict",
      properties: encodeSetProperties(0, 0),
      value: EMPTY,
      expires: 0,
      sequence: 19,
    }),
  ],
  "standing: alone, map `11…11`, term 4": [encodeStanding(STANDING)],
  "position: ready, map `11…11`, term 4, sequence 9": [
    encodePosition({ map: MAP, term: 4, sequence: 9, alone: false, ready: true }),
  ],
};

const VECTORS = new Map(vectorsOf("clone.md"));

test("each vector is what is written", () => {
  const written = Object.entries(WRITTEN).map(([name, frames]) => [name, hexOf(frames)]);
  expect(Object.fromEntries(VECTORS)).toEqual(Object.fromEntries(written));
});

test("what is read of the vectors is what the page says", () => {
  const read = (name: string): Buffer[] => framesOf(VECTORS.get(name) as string);
  const properties = (name: string): Buffer => read(name)[3] as Buffer;
  expect(hasLine(properties("KTHXBAI at 42, whole map"), SUPPORT)).toBe(true);
  expect(hasLine(Buffer.from("s1=17\n"), SUPPORT)).toBe(false);
  expect(conditionOf(properties("KVSET of `k` to `v`, if its revision is 17"))).toBe(17);
  expect(conditionOf(properties("KVSET of `k` to `v` for 5 s, if it is missing"))).toBe(0);
  expect(conditionOf(Buffer.from("ttl=5\n"))).toBeUndefined();
  for (const wrong of ["x", "", "-1", "1.5", "9007199254740992", "1".repeat(17)])
    expect(conditionOf(Buffer.from(`if-revision=${wrong}\n`)), wrong).toBeNull();
  const repeated = properties("KVPUB at 19: a repeated update, `k` is `v` since 17");
  const lost = properties("KVPUB at 19: a conflict, `k` is missing");
  expect([revisionOf(repeated), hasLine(repeated, CONFLICT)]).toEqual([17, false]);
  expect([revisionOf(lost), hasLine(lost, CONFLICT)]).toEqual([0, true]);
  // The condition of an update that took effect is no revision of its key.
  expect(revisionOf(encodeSetProperties(0, 17))).toBeUndefined();
  const link = (name: string): readonly Buffer[] => parseLink(read(name))?.frames ?? [];
  expect(parseUpdate(link("KVPUB 19: a conflict at `k`"), 0)).toMatchObject({
    kind: "conflict",
    sequence: 19,
    condition: undefined,
  });
  expect(parseUpdate(link("KVPUB 18: `k` set to `v` for 5 s"), 1_000)).toMatchObject({
    kind: "set",
    expires: 6_000,
    properties: Buffer.from("ttl=5\n"),
  });
  expect(standingOf(link("KTHXBAI at 42, one UUID, standing as below"))).toEqual(STANDING);
});

test("a subtree is nothing, or segments between slashes", () => {
  for (const good of ["", "/a/", "/a/b/", "/\0\xff/"])
    expect(isSubtree(Buffer.from(good, "latin1"))).toBe(true);
  for (const bad of ["/", "//", "a", "/a", "a/", "/a//b/", "//a/", `/${"a".repeat(254)}/`])
    expect(isSubtree(Buffer.from(bad))).toBe(false);
});

test("a time to live is seconds, and anything that is no such number is refused", () => {
  const of = (text: string): number | undefined => timeToLive(Buffer.from(text));
  expect([of(""), of("ttl=0\n"), of("a=b\n"), of("ttl=\n")]).toEqual([0, 0, 0, 0]);
  expect([of("ttl=3\n"), of("x=1\nttl=2\n"), of("ttl=0.25\n"), of("ttl=7")]).toEqual([
    3_000, 2_000, 250, 7_000,
  ]);
  for (const bad of ["ttl=-1\n", "ttl=x\n", "ttl=1e3\n", "ttl=1700000000\n", "ttl=NaN\n"])
    expect(of(bad)).toBeUndefined();
  for (const ms of [1, 250, 1_000, 90_500]) expect(timeToLive(encodeTimeToLive(ms))).toBe(ms);
  expect(property(Buffer.from("a=1\nb=2=3\nno\n"), "b")).toBe("2=3");
});

test("a chain says which update of a subtree was the one before", () => {
  const chains = new SubtreeSequences();
  expect(chains.advance(Buffer.from("/a/k"), 1)).toBe("");
  chains.register(Buffer.from("/a/"), 1);
  chains.register(Buffer.from("/a/b/"), 1);
  expect(chains.advance(Buffer.from("/c/k"), 2)).toBe("");
  expect(chains.advance(Buffer.from("/a/k"), 3)).toBe("s1=1\n");
  expect(chains.advance(Buffer.from("/a/b/k"), 4)).toBe("s1=3\ns2=1\n");
  expect(String(chains.all())).toBe("s1=4\ns2=4\n");
  expect(subtreeName(chains.of(Buffer.from("/a/b/")))).toBe("s2");
  expect(subtreeSequence(Buffer.from("ttl=0\ns1=3\ns2=1\n"), "s2")).toBe(1);
  expect(subtreeName(chains.of(Buffer.from("/never/")))).toBeUndefined();
});

test("a server's endpoints follow from its first one", () => {
  expect(endpointsOf("tcp://host:5556")).toEqual({
    snapshot: "tcp://host:5556",
    publisher: "tcp://host:5557",
    collector: "tcp://host:5558",
  });
  expect(endpointAt("ipc:///tmp/x", 2)).toBe("ipc:///tmp/x-2");
  for (const bad of ["", "tcp://host", "tcp://host:*", "tcp://host:65535", "tcp://host:0"])
    expect(() => endpointAt(bad, 0)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  for (const other of ["tls://host:5556", "ws://host:5556", "wss://host:5556/path"])
    expect(() => endpointAt(other, 0)).toThrow("must be tcp://HOST:PORT, ipc://PATH or inproc://NAME; got ");
  for (const none of [undefined, null, 5, {}, { snapshot: "tcp://host:1", publisher: 5 }])
    expect(() => endpointsOf(none as never)).toThrow(
      "A clone's endpoint must be such as tcp://HOST:5556; got ",
    );
});

test("the window remembers its bound of UUIDs, and not one more", () => {
  const window = new UuidWindow(1_024);
  const uuid = (n: number): Buffer => {
    const bytes = Buffer.alloc(16, 7);
    bytes.writeUInt32BE(n, 12);
    return bytes;
  };
  for (let n = 0; n < 10_000; n++) expect(window.add(uuid(n))).toBe(true);
  for (let n = 10_000 - 1_024; n < 10_000; n++) expect(window.add(uuid(n))).toBe(false);
  expect(window.has(uuid(10_000 - 1_025))).toBe(false);
  expect(uuidsOf(window.bytes())).toEqual(Array.from({ length: 1_024 }, (_, i) => uuid(8_976 + i)));
  expect(uuidsOf(window.bytes([uuid(9_998)])).slice(-2)).toEqual([uuid(9_997), uuid(9_999)]);
  // A removed one makes room.
  window.remove(uuid(9_000));
  expect([window.add(uuid(9_000)), window.has(uuid(8_976))]).toEqual([true, true]);
  for (let n = 10_000; n < 20_000; n++) window.add(uuid(n));
  expect(uuidsOf(window.bytes())).toEqual(Array.from({ length: 1_024 }, (_, i) => uuid(18_976 + i)));
});

test("256 subtrees have a number, and clients of further ones get none", () => {
  const chains = new SubtreeSequences();
  for (let n = 1; n <= 257; n++) chains.register(Buffer.from(`/${n}/`), 1);
  expect([256, 257].map((n) => String(chains.of(Buffer.from(`/${n}/`))))).toEqual(["s256=1\n", ""]);
});
