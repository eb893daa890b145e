import { expect, test } from "vitest";
import { parseCommand } from "../../../../src/engine/zmtp/codec/command.js";

test.each([
  ["nothing", ""],
  ["no name", "00"],
  ["no name before data", "004142"],
  ["a name that ends after the body", "0541424344"],
  ["only the name's length", "01"],
])("a body with %s is no command", (_, hex) => {
  expect(parseCommand(Buffer.from(hex, "hex"))).toBeUndefined();
});
