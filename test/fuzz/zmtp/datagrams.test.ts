/** Any bytes as a datagram of RADIO and DISH: a group and a body, or nothing. */
import { expect, it } from "vitest";
import { encodeGroupDatagram, parseGroupDatagram } from "../../../src/engine/zmtp/datagrams.js";
import { LONG_TIMEOUT, tries } from "../seed.js";

/** Lengths about the borders of a group, of a frame's header, and of a datagram. */
const GROUPS = [0, 1, 2, 127, 128, 254, 255];
const BODIES = [0, 1, 2, 253, 254, 255, 256, 257, 300];
const LARGEST = 8_192;

it("datagrams are a group and a body, whole and in order, or are thrown away", {
  timeout: LONG_TIMEOUT,
}, () => {
  const seen = { parsed: 0, refused: 0, changed: 0, tooLong: 0 };
  const filler = Buffer.alloc(LARGEST + 10, 7);
  const inputs = tries("datagrams", [10_000, 1_000_000], (random, i) => {
    const group = random.bytes(GROUPS[random.below(GROUPS.length)] as number);
    const isLong = random.below(20) === 0;
    const room = LARGEST - 1 - group.length;
    const size = isLong ? room - 3 + random.below(7) : (BODIES[random.below(BODIES.length)] as number);
    const body = filler.subarray(0, size);
    const valid = Buffer.concat(encodeGroupDatagram(group, body));
    const isMutated = random.below(3) > 0;
    const bytes = isMutated ? random.mutate(valid) : valid;
    const before = Buffer.from(bytes);
    const parsed = parseGroupDatagram(bytes);
    const length = bytes[0] ?? Number.POSITIVE_INFINITY;
    const expected = bytes.length <= LARGEST && bytes.length >= 1 + length;
    if ((parsed !== undefined) !== expected) expect([i, parsed === undefined]).toEqual([i, !expected]);
    if (bytes.length > LARGEST) seen.tooLong += 1;
    if (parsed === undefined) {
      seen.refused += 1;
      return;
    }
    seen.parsed += 1;
    if (isMutated) seen.changed += 1;
    const same =
      parsed.group.equals(before.subarray(1, 1 + length)) &&
      parsed.body.equals(before.subarray(1 + length)) &&
      bytes.equals(before);
    if (!same) throw new Error(`another message: ${before.toString("hex")}`);
  });
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(inputs / 200);
});
