/** What services send, as bytes: junk and vectors. */
import { describe, expect, it } from "vitest";
import {
  decodeMemberItem,
  encodeMemberItem,
  type MemberItem,
  MemberOp,
} from "../../../src/cluster/messaging/member-wire.js";
import { vectorsUnder } from "../../support/markdown.js";
import fc from "../../support/properties.js";

const wellFormed = (max: number): fc.Arbitrary<string> =>
  fc.string({ unit: "grapheme", maxLength: max }).filter((text) => Buffer.byteLength(text) <= max);
const item: fc.Arbitrary<MemberItem> = fc.record({
  op: fc.constantFrom(...Object.values(MemberOp)),
  channel: fc.oneof(
    fc.nat(255),
    wellFormed(64).filter((name) => name !== ""),
  ),
  id: fc.oneof(fc.nat(300), fc.maxSafeNat()),
  ruid: wellFormed(128),
  data: fc.oneof(
    fc.string({ unit: "grapheme" }),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  ),
});

describe("the compact form", () => {
  it("takes junk for junk, and never throws", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (junk) => {
        decodeMemberItem(Buffer.from(junk));
      }),
      { numRuns: 100_000, defaultRuns: 3_000 },
    );
    fc.assert(
      fc.property(item, fc.nat(), (sent, at) => {
        const bytes = encodeMemberItem(sent);
        decodeMemberItem(bytes.subarray(0, at % bytes.length));
        const changed = Buffer.from(bytes);
        changed[at % bytes.length] = (changed[at % bytes.length] as number) ^ (1 << (at % 8));
        decodeMemberItem(changed);
      }),
      { numRuns: 100_000, defaultRuns: 3_000 },
    );
  });

  it.each([
    ["", "empty"],
    ["00", "op"],
    ["08", "op"],
    ["11", "channel"], // A channel that is not there.
    ["11808080808080808080", "channel"], // A number without an end.
    ["118000", "channel"], // A number longer than it has to be.
    ["118002", "channel"], // A name without bytes.
    ["1181026180", "channel", "a name that is shorter is read"],
    ["11c102", "channel"], // A name of 65 bytes.
    ["118102ff", "channel"], // A name that is not UTF-8.
    ["21", "id"],
    ["2100", "id"],
    ["41", "ruid"],
    ["4100", "ruid"],
    ["418101", "ruid"], // 129 bytes.
    ["410561", "ruid"], // Shorter than it says.
    ["4101ff", "ruid"], // Not UTF-8.
    ["09ff", "utf8"],
    ["8105", "context"],
  ] as const)("refuses %s as %s", (hex, fault, exception?: string) => {
    const decoded = decodeMemberItem(Buffer.from(hex, "hex"));
    if (exception === undefined) expect(decoded).toBe(fault);
    else expect(decoded).toMatchObject({ channel: "a", data: Buffer.from([0x80]) });
  });
});

/** The rows of docs/spec/messaging.md, Vectors of send and query. */
const SAMPLES: Readonly<Record<string, MemberItem>> = {
  "a message of 16 characters": message({ data: "temperature 21.5" }),
  "the same on channel 5, with a ruid": message({ channel: 5, ruid: "a7f3", data: "temperature 21.5" }),
  "the same on a named channel": message({ channel: "sensors", data: "temperature 21.5" }),
  "a message of 16 bytes": message({ data: Buffer.alloc(16, 7) }),
  "a query of 10 characters": { ...message({ id: 70_000, data: "stock milk" }), op: MemberOp.QUERY },
  "its reply of 2 characters": { ...message({ id: 70_000, data: "42" }), op: MemberOp.REPLY },
  "a failure of a handler": {
    ...message({ id: 70_000, ruid: "handler-failed", data: "no stock" }),
    op: MemberOp.FAILURE,
  },
};

function message(fields: Partial<MemberItem>): MemberItem {
  return { op: MemberOp.MESSAGE, channel: 0, id: 0, ruid: "", data: "", ...fields };
}

it("docs/spec/messaging.md, Vectors of send and query, are what the code makes", () => {
  const written = Object.entries(SAMPLES).map(([name, item]) => [
    name,
    encodeMemberItem(item).toString("hex"),
  ]);
  expect(vectorsUnder("spec/messaging.md", "Vectors of `send` and `query`")).toEqual(written);
});
