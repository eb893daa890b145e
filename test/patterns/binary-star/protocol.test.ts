import { describe, expect, test } from "vitest";
import { BinaryStarState, encodeState, parseState } from "../../../src/patterns/binary-star/protocol.js";

describe("a Binary Star's state on the wire", () => {
  test("is one digit, as the Guide's programs send it", () => {
    // The frame's body of vector 35: 00 01 33.
    expect(encodeState(BinaryStarState.ACTIVE).toString("hex")).toBe("33");
    expect(Object.values(BinaryStarState).map((state) => encodeState(state).toString())).toEqual([
      "1",
      "2",
      "3",
      "4",
    ]);
  });

  test("is read back", () => {
    for (const state of Object.values(BinaryStarState)) expect(parseState([encodeState(state)])).toBe(state);
  });

  test.each([
    ["no frame", []],
    ["an empty frame", [""]],
    ["a digit that is none of them", ["0"]],
    ["the next digit", ["5"]],
    ["two digits", ["33"]],
    ["the byte 3", ["\x03"]],
    ["two frames", ["3", "3"]],
    ["a digit and a terminating zero", ["3\0"]],
  ])("%s is not a state", (_, frames) => {
    expect(parseState(frames.map((frame) => Buffer.from(frame)))).toBeUndefined();
  });
});
