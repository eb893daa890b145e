import { expect, test } from "vitest";
import { COMMAND, MORE, writeHeader } from "../../src/engine/frame.js";

const header = (flags: number, size: number): string => {
  const target = Buffer.alloc(12, 0xee);
  return target.toString("hex", 1, writeHeader(target, 1, flags, size));
};

test.each([
  [0, 0, "0000"],
  [MORE, 1, "0101"],
  [COMMAND, 255, "04ff"],
  [0, 256, "020000000000000100"],
  [MORE, 65_536, "030000000000010000"],
  [0, 0x1_0000_0000, "020000000100000000"],
  [0, 0xfedc_ba98, "0200000000fedcba98"],
])("flags %i and size %i have the header %s", (flags, size, hex) => {
  expect(header(flags, size)).toBe(hex);
});
