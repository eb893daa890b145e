/** A connection that ends between any two bytes of its frames. Frames in pieces are in test/fuzz/zmtp. */
import { describe, expect, it } from "vitest";
import { InStream } from "../../src/engine/zmtp/codec/in-stream.js";
import * as wire from "./wire.js";

const TRAFFIC = [
  wire.ENVELOPE,
  wire.PING_CONTEXT,
  wire.FRAME_255,
  "0000",
  wire.FRAME_256,
  `0101ff${wire.PING}0000`,
  wire.SUBSCRIBE,
  wire.REQUEST,
  wire.CANCEL,
  "01000000",
].join("");
const MESSAGES = [
  ["61", "", "62"],
  ["ff".repeat(255)],
  [""],
  ["ff".repeat(256)],
  ["ff", ""],
  ["", "4869"],
  ["", ""],
];
describe("a peer's frames", () => {
  it("lose only the message that a connection's end cuts, wherever that is", () => {
    const traffic = wire.hex(TRAFFIC);
    for (let at = 0; at <= traffic.length; at++) {
      const stream = new InStream(-1, () => {});
      stream.push(Buffer.from(traffic.subarray(0, at)));
      const whole = stream.messages;
      stream.cut();
      stream.push(Buffer.from(traffic)); // The next connection's.
      const messages: string[][] = [];
      while (stream.messages > 0) messages.push(stream.take().map((frame) => frame.toString("hex")));
      expect(messages, `cut at ${at}`).toEqual([...MESSAGES.slice(0, whole), ...MESSAGES]);
    }
  });
});
