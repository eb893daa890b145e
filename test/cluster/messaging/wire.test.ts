/** docs/spec/messaging.md, Links: its vectors are what this code writes, and it reads them back. */
import { expect, test } from "vitest";
import { SendWindow } from "../../../src/cluster/messaging/window.js";
import {
  BatchReader,
  countOf,
  decodeAck,
  decodeHello,
  decodeLooseHead,
  decodeRefused,
  encodeAck,
  encodeHello,
  encodeLooseHead,
  encodeRefused,
  sequenceOf,
} from "../../../src/cluster/messaging/wire.js";
import { vectorsUnder } from "../../support/markdown.js";

const [A, B] = ["a1".repeat(16), "b2".repeat(16)];
const HELLO = {
  to: B,
  from: A,
  life: "0123456789abcdef",
  session: 3,
  maxWaiting: 262_144,
  maxWaitingBytes: 4_194_304,
  sent: 310,
};

function batch(): Buffer {
  const window = new SendWindow({ items: 10, bytes: 1_000 });
  window.offer(2, Buffer.from("one"));
  window.offer(3, Buffer.alloc(130, "x"));
  return Buffer.from((window.take(1e9, false) as readonly Uint8Array[])[0] as Uint8Array);
}

function itemHead(): Buffer {
  const window = new SendWindow({ items: 10, bytes: 1_000_000 });
  window.offer(2, Buffer.alloc(1));
  window.take(1e9, false);
  window.offer(4, Buffer.alloc(20_000));
  return Buffer.from((window.take(1e9, false) as readonly Uint8Array[])[0] as Uint8Array);
}

const vectors = (): Map<string, string> => new Map(vectorsUnder("spec/messaging.md", "Vectors of links"));

test("the frames are those of the specification", () => {
  const written: Readonly<Record<string, Buffer>> = {
    "HELLO of A for B, session 3, of which 310 items were sent": encodeHello(HELLO),
    'BATCH from 0: "one" of the kind 2, 130 times "x" of the kind 3': batch(),
    "BATCH of item 1, of the kind 4 and 20,000 bytes, which follow": itemHead(),
    "ACK of 298 in session 3": encodeAck(3, 298),
    "REFUSED: stranger": encodeRefused("stranger"),
    "ITEM of A for B, without the item": encodeLooseHead(B, A),
  };
  expect(Object.fromEntries(vectors())).toEqual(
    Object.fromEntries(Object.entries(written).map(([what, bytes]) => [what, bytes.toString("hex")])),
  );
  const read = [...vectors().values()].map((text) => Buffer.from(text, "hex"));
  const [hello, items, item, ack, refused, loose] = read as [Buffer, Buffer, Buffer, Buffer, Buffer, Buffer];
  expect(decodeHello(hello)).toEqual(HELLO);
  for (const cut of [2, 3, 10]) expect(decodeHello(hello.subarray(0, -cut))).toBeUndefined();
  expect(decodeAck(ack.subarray(0, -1))).toBeUndefined();
  expect([sequenceOf(items), countOf(items), sequenceOf(item), countOf(item)]).toEqual([0, 2, 1, 1]);
  const reader = new BatchReader(items);
  expect([reader.next(), reader.view().toString(), reader.kind]).toEqual([true, "one", 2]);
  expect([reader.next(), reader.view().length, reader.kind]).toEqual([true, 130, 3]);
  expect([reader.next(), reader.isWhole]).toEqual([false, true]);
  expect(decodeAck(ack)).toEqual({ session: 3, delivered: 298 });
  expect(decodeRefused(refused)).toBe("stranger");
  expect(decodeLooseHead(loose)).toEqual({ to: B, from: A });
  expect(decodeLooseHead(loose.subarray(0, -1))).toBeUndefined();
});
