/**
 * What nodes send each other as messages, with contexts of traces among it, changed and cut at random: it is read or refused, never
 * more than there is, and never an error.
 */
import { describe, expect, it } from "vitest";
import { encodeDirect, ItemReader, PublishItem } from "../../../src/cluster/messaging/items.js";
import { decodeMemberItem, encodeMemberItem, MemberOp } from "../../../src/cluster/messaging/member-wire.js";
import { decodeContext } from "../../../src/core/message-operations.js";
import { publishItem } from "../../cluster/messaging/published.js";
import fc, { forAll } from "../../support/properties.js";

const RUNS = { numRuns: 200_000, defaultRuns: 1_000 };

const context = fc.option(fc.uint8Array({ minLength: 1, maxLength: 1_100 }), { nil: undefined });
const change = fc.record({ at: fc.nat(), to: fc.nat(255), end: fc.option(fc.nat()) });

/** With a byte changed, or cut short. */
function changed(bytes: Buffer, { at, to, end }: { at: number; to: number; end: number | null }): Buffer {
  const copy = Buffer.from(bytes);
  copy[at % copy.length] = to;
  return end === null ? copy : copy.subarray(0, end % copy.length);
}

function checkContext(found: Buffer | undefined, bytes: Buffer): void {
  if (found === undefined) return;
  expect(found.length).toBeGreaterThan(0);
  expect(found.length).toBeLessThanOrEqual(1_024);
  // Of its own: the chunk that it came in may be used again.
  expect(found.buffer === bytes.buffer && found.byteOffset >= bytes.byteOffset && bytes.length > 8_192).toBe(
    false,
  );
  const headers = decodeContext(found);
  for (const [name, value] of Object.entries(headers ?? {}))
    expect(typeof name + typeof value).toBe("stringstring");
}

describe("items with contexts", () => {
  it("PUBLISH", () => {
    forAll([context, fc.string({ minLength: 1 }), fc.uint8Array(), change], RUNS, (of, topic, data, by) => {
      const bytes = changed(
        publishItem(topic, { client: 7, stamp: 9, data, context: of && Buffer.from(of) }),
        by,
      );
      const item = new PublishItem();
      if (!item.readHead(bytes, 0, bytes.length) || !item.readTail()) return;
      checkContext(item.context, bytes);
      expect(item.reader.rest().length).toBeLessThanOrEqual(bytes.length);
    });
  });

  it("DIRECT", () => {
    forAll([context, fc.uint8Array(), change], RUNS, (of, data, by) => {
      const bytes = changed(encodeDirect(2, 7, "s", data, of), by);
      const reader = new ItemReader();
      reader.start(bytes, Math.min(bytes.length, 6));
      checkContext(reader.context(), bytes);
      expect(reader.rest().length).toBeLessThanOrEqual(bytes.length);
    });
  });

  it("of services", () => {
    forAll([context, fc.string(), change], RUNS, (of, data, by) => {
      const item = { op: MemberOp.QUERY, channel: "c", id: 5, ruid: "r", data, context: of };
      const decoded = decodeMemberItem(changed(encodeMemberItem(item as never), by));
      if (typeof decoded !== "string") checkContext(decoded.context, Buffer.alloc(0));
    });
  });
});
