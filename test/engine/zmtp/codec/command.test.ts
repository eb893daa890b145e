import { expect, test } from "vitest";
import { encodeCommand, parseCommand } from "../../../../src/engine/zmtp/codec/command.js";
import { bodyOf, ERROR, PLAIN_HELLO, PLAIN_WELCOME, READY_PUB } from "../../../vectors/mechanism.js";

test.each([
  ["READY", READY_PUB],
  ["HELLO", PLAIN_HELLO],
  ["WELCOME", PLAIN_WELCOME],
  ["ERROR", ERROR],
])("libzmq's %s comes apart and goes together again", (name, frame) => {
  const body = bodyOf(frame);
  const command = parseCommand(body);
  expect(command?.name).toBe(name);
  expect(command?.data).toEqual(body.subarray(1 + name.length));
  expect(encodeCommand(name, command?.data)).toEqual(body);
});

test("a command without data is its name", () => {
  expect(encodeCommand("PING")).toEqual(Buffer.from("\u0004PING"));
  expect(encodeCommand("PING", new Uint8Array(0))).toEqual(Buffer.from("\u0004PING"));
  expect(parseCommand(Buffer.from("\u0004PING"))).toEqual({ name: "PING", data: Buffer.alloc(0) });
});

test.each([
  ["nothing", ""],
  ["no name", "00"],
  ["no name before data", "004142"],
  ["a name that ends after the body", "0541424344"],
  ["only the name's length", "01"],
])("a body with %s is no command", (_, hex) => {
  expect(parseCommand(Buffer.from(hex, "hex"))).toBeUndefined();
});
