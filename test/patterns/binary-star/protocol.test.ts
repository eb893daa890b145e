import { describe, expect, test } from "vitest";
import { BinaryStarState, encodeState } from "../../../src/patterns/binary-star/protocol.js";

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
});
