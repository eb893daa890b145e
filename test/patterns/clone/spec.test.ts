/** docs/spec/clone.md: its vectors are what this code writes, and read back what it says. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import {
  encodeEnd,
  encodeEntry,
  encodeFollow,
  encodeMark,
  encodeUpdate,
  parseLink,
  parseUpdate,
  standingOf,
} from "../../../src/patterns/clone/link.js";
import { encodeTimeToLive, REFUSED_FULL, SubtreeSequences } from "../../../src/patterns/clone/properties.js";
import { EMPTY, encodeGoodbye, encodeSet } from "../../../src/patterns/clone/protocol.js";
import { encodePosition, encodeStanding } from "../../../src/patterns/clone/standing.js";

const [K, V] = [Buffer.from("k"), Buffer.from("v")];
const UUID = Buffer.alloc(16, 0xab);
const SESSION = Buffer.alloc(8, 1);
const MAP = "1111111111111111";

function subtree(): Buffer {
  const subtrees = new SubtreeSequences();
  subtrees.register(Buffer.from("/a/"), 17);
  return subtrees.of(Buffer.from("/a/"));
}

const STANDING = {
  map: MAP,
  term: 4,
  alone: true,
  aloneSince: 7,
};
const UPDATE = { key: K, uuid: UUID, counted: true };
const WRITTEN: Readonly<Record<string, readonly Buffer[]>> = {
  "KTHXBAI at 42, subtree `/a/`, number 1, last changed at 17": encodeGoodbye(
    42,
    Buffer.from("/a/"),
    subtree(),
  ),
  "KVSET of `k` to `v` for 5 s": encodeSet(K, UUID, encodeTimeToLive(5_000), V),
  "KVPUB: no room for the update of `k`": encodeSet(K, UUID, REFUSED_FULL, EMPTY),
  "ICANHAZ of a follower": encodeFollow(SESSION),
  "HUGZ at 42": encodeMark(SESSION, 42),
  "KVSYNC of `k`, sequence 17, 5 s left, `v`": encodeEntry(
    SESSION,
    { key: K, sequence: 17, value: V },
    5_000,
  ),
  "KTHXBAI at 42, one UUID, standing as below": encodeEnd(SESSION, 42, STANDING, UUID),
  "KVPUB 18: `k` set to `v` for 5 s": encodeUpdate(SESSION, {
    ...UPDATE,
    kind: "set",
    properties: Buffer.from("ttl=5\n"),
    value: V,
    expires: 6_000,
    sequence: 18,
  }),
  "KVPUB 19: a repeated update of `k`": encodeUpdate(SESSION, {
    ...UPDATE,
    kind: "announce",
    properties: encodeTimeToLive(0),
    value: EMPTY,
    expires: 0,
    sequence: 19,
  }),
  "standing: alone since 7, map `11…11`, term 4": [encodeStanding(STANDING)],
  "position: ready, map `11…11`, term 4, sequence 9": [
    encodePosition({ map: MAP, term: 4, sequence: 9, alone: false, ready: true }),
  ],
};

/** The vectors of the page, by name. */
function vectors(): Map<string, string> {
  const found = new Map<string, string>();
  let inVectors = false;
  for (const line of readFileSync("docs/spec/clone.md", "utf8").split("\n")) {
    if (line.startsWith("| Vector |")) inVectors = true;
    else if (!line.startsWith("|")) inVectors = false;
    else if (inVectors) {
      const [, name, frames] = /^\| (.*) \| `([0-9a-f -]+)` \|$/.exec(line) ?? [];
      if (name !== undefined) found.set(name, frames as string);
    }
  }
  return found;
}

const hex = (frames: readonly Buffer[]): string =>
  frames.map((frame) => frame.toString("hex") || "-").join(" ");
const framesOf = (name: string): Buffer[] =>
  (vectors().get(name) as string).split(" ").map((frame) => Buffer.from(frame === "-" ? "" : frame, "hex"));

test("each vector is what is written", () => {
  const written = Object.fromEntries(Object.entries(WRITTEN).map(([name, frames]) => [name, hex(frames)]));
  expect(Object.fromEntries(vectors())).toEqual(written);
});

test("what is read of the vectors is what the page says", () => {
  const link = (name: string): readonly Buffer[] => parseLink(framesOf(name))?.frames ?? [];
  expect(parseUpdate(link("KVPUB 19: a repeated update of `k`"), 0)).toMatchObject({
    kind: "announce",
    sequence: 19,
  });
  expect(parseUpdate(link("KVPUB 18: `k` set to `v` for 5 s"), 1_000)).toMatchObject({
    kind: "set",
    expires: 6_000,
    properties: Buffer.from("ttl=5\n"),
  });
  expect(standingOf(link("KTHXBAI at 42, one UUID, standing as below"))).toEqual(STANDING);
});
