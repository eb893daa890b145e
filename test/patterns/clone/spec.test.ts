/** docs/spec/clone.md: its vectors are what this code writes, and read back what it says. */
import { expect, test } from "vitest";
import {
  CONFLICT,
  conditionOf,
  encodeSetProperties,
  encodeSupport,
  encodeTimeToLive,
  encodeUnchanged,
  hasLine,
  REFUSED_LINE,
  revisionOf,
  SUPPORT,
  SubtreeSequences,
} from "../../../src/patterns/clone/properties.js";
import {
  EMPTY,
  encodeGoodbye,
  encodeHugz,
  encodeRequest,
  encodeSet,
  sequenceFrame,
} from "../../../src/patterns/clone/protocol.js";
import {
  encodeEnd,
  encodeUpdate,
  parseLink,
  parseUpdate,
  standingOf,
} from "../../../src/patterns/clone/replication.js";
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
