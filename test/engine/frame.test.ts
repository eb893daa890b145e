import { expect, test } from "vitest";
import {
  COMMAND,
  commandFrame,
  LONG,
  LONG_HEADER,
  MORE,
  messageFrame,
  readLongSize,
  SHORT_HEADER,
  writeHeader,
} from "../../src/engine/frame.js";

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

test("commands and messages become whole frames, short up to 255 bytes", () => {
  expect(commandFrame(Buffer.from("\u0004PING")).toString("hex")).toBe("04050450494e47");
  expect(messageFrame(Buffer.from("a")).toString("hex")).toBe("000161");
  expect(commandFrame(Buffer.alloc(255))).toHaveLength(SHORT_HEADER + 255);
  const long = messageFrame(Buffer.alloc(256, 1));
  expect(long).toHaveLength(LONG_HEADER + 256);
  expect([long[0], readLongSize(long, 1)]).toEqual([LONG, 256]);
});
