/** The Pirates' frames, with the bytes that the Guide's programs sent (a capture), and the slips of theirs. */
import { describe, expect, it } from "vitest";
import {
  addressedFrames,
  heartbeatFrames,
  parseFromClient,
  parseFromWorker,
  readyFrames,
} from "../../../src/patterns/kit/worker-protocol.js";

/** A ZMTP message of short frames, as hexadecimal digits. */
function onWire(frames: readonly Buffer[]): string {
  return frames
    .map((frame, i) => Buffer.concat([Buffer.from([i < frames.length - 1 ? 1 : 0, frame.length]), frame]))
    .map((bytes) => bytes.toString("hex"))
    .join("");
}

const bytes = (...frames: string[]): Buffer[] => frames.map((frame) => Buffer.from(frame, "latin1"));

describe("the Pirates' frames", () => {
  it("are those of ppworker and spworker", () => {
    expect(onWire(readyFrames("paranoid"))).toBe("000101");
    expect(onWire(readyFrames("simple"))).toBe("0100000101");
    expect(onWire(heartbeatFrames())).toBe("000102");
    expect(onWire(addressedFrames("paranoid", Buffer.from("c"), bytes("hi")))).toBe(
      "0101630100" + "00026869",
    );
  });

  it("take the text READY as well, and no other text", () => {
    expect(parseFromWorker(bytes("", "READY"))).toEqual({ kind: "ready", dialect: "simple" });
    expect(parseFromWorker(bytes("READY"))).toEqual({ kind: "ready", dialect: "paranoid" });
    expect(parseFromWorker(bytes("", "ready"))).toEqual({ kind: "invalid", reason: "command" });
  });

  it("distinguish a reply to a client whose routing id begins with 01 from READY", () => {
    const address = Buffer.from([1]);
    expect(parseFromWorker(addressedFrames("simple", address, bytes("x"))).kind).toBe("reply");
    expect(parseFromWorker(addressedFrames("paranoid", address, bytes("x"))).kind).toBe("reply");
  });

  it.each([
    [[], "address"],
    [bytes("\x03"), "command"],
    [bytes("\x01\x01"), "command"],
    [bytes("", "\x02"), "command"],
    [bytes(""), "address"],
    [bytes("a", "b"), "address"],
    [bytes("a", ""), "no-body"],
    [bytes("a", "b", "", "body"), "address"],
    [bytes("", "", "", "x"), "address"],
  ])("are refused from a worker when they are not in the protocol, case %#", (frames, reason) => {
    expect(parseFromWorker(frames)).toEqual({ kind: "invalid", reason });
  });

  it.each([
    [bytes("c", "no delimiter"), "no-delimiter"],
    [bytes("c", ""), "no-body"],
    [bytes("", "x"), "address"],
  ])("%# refuse from a client what has no address, delimiter or body", (frames, reason) => {
    expect(parseFromClient(frames)).toEqual({ kind: "invalid", reason });
  });

  it("refuse from a client more frames than a worker takes, with those in front of them", () => {
    const most = (count: number): Buffer[] => bytes("c", "", ...Array.from({ length: count - 2 }, () => ""));
    expect(parseFromClient(most(65_472)).kind).toBe("request");
    expect(parseFromClient(most(65_473))).toEqual({ kind: "invalid", reason: "frames" });
  });

  it("keep all hops of a way back", () => {
    expect(parseFromClient(bytes("c", "id", "", "x", ""))).toEqual({
      kind: "request",
      envelope: bytes("c", "id"),
      body: bytes("x", ""),
    });
  });
});
