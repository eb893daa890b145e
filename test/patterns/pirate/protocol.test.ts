/** The Pirates' frames, with the bytes that the Guide's programs sent (a capture), and the slips of theirs. */
import { describe, expect, it } from "vitest";
import { parseFromClient, parseFromWorker } from "../../../src/kit/worker-protocol.js";

const bytes = (...frames: string[]): Buffer[] => frames.map((frame) => Buffer.from(frame, "latin1"));

describe("the Pirates' frames", () => {
  it("take the text READY as well, and no other text", () => {
    expect(parseFromWorker(bytes("", "READY"))).toEqual({ kind: "ready", dialect: "simple" });
    expect(parseFromWorker(bytes("READY"))).toEqual({ kind: "ready", dialect: "paranoid" });
    expect(parseFromWorker(bytes("", "ready"))).toEqual({ kind: "invalid", reason: "command" });
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
});
