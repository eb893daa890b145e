import { expect, test } from "vitest";
import { encodeGroupDatagram, parseGroupDatagram } from "../../../../src/engine/zmtp/datagrams.js";
import fc from "../../../support/properties.js";

test("a group and a body come out of their datagram as they went in", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 255 }), fc.uint8Array({ maxLength: 2_000 }), (group, body) => {
      const parsed = parseGroupDatagram(Buffer.concat(encodeGroupDatagram(group, body)));
      expect(parsed?.group.equals(group)).toBe(true);
      expect(parsed?.body.equals(body)).toBe(true);
    }),
  );
});

test("junk is a group and a body, or nothing, and never more than came", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
      const parsed = parseGroupDatagram(Buffer.from(bytes));
      if (parsed === undefined) expect(bytes.length === 0 || bytes.length <= (bytes[0] as number)).toBe(true);
      else {
        expect(1 + parsed.group.length + parsed.body.length).toBe(bytes.length);
        expect(parsed.group.length).toBe(bytes[0]);
      }
    }),
    { numRuns: 3_000 },
  );
  expect(parseGroupDatagram(Buffer.alloc(8_193))).toBeUndefined();
  expect(parseGroupDatagram(Buffer.alloc(8_192))?.body).toHaveLength(8_191);
});
