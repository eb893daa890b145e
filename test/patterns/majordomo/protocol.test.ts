/** Frames to commands, as brokers, workers and clients meet them on the wire. */
import { describe, expect, it } from "vitest";
import { type Body, decode, EMPTY, headerOf, numberNear } from "../../../src/patterns/majordomo/protocol.js";

const PEER = Buffer.from([0, 255, 10, 0, 1]);

const frames = (...parts: (string | number | Buffer)[]): Buffer[] =>
  parts.map((part) => (typeof part === "number" ? Buffer.of(part) : Buffer.from(part as string)));
const bodyOf = (message: object): string[] => (message as { body: Body }).body.frames.map(String);
const atBroker = (...parts: (string | number | Buffer)[]) => decode("broker", [PEER, ...frames(...parts)]);

describe("a broker", () => {
  it("refuses more frames than a worker takes, with those in front of them", () => {
    const message = [PEER, ...frames("", "MDPC01", "echo"), ...Array.from({ length: 65_468 }, () => EMPTY)];
    expect(message).toHaveLength(65_472);
    expect(decode("broker", message)).toMatchObject({ kind: "request" });
    expect(decode("broker", [...message, EMPTY])).toMatchObject({ kind: "fault", reason: "frames" });
  });

  it("reads HEARTBEAT and DISCONNECT by the numbers of their version", () => {
    expect(atBroker("", "MDPW01", 4).kind).toBe("heartbeat");
    expect(atBroker("", "MDPW01", 5).kind).toBe("disconnect");
    expect(atBroker("MDPW02", 5).kind).toBe("heartbeat");
    expect(atBroker("MDPW02", 6).kind).toBe("disconnect");
    expect(atBroker("SHLW01\x09").kind).toBe("drain");
  });

  it("keeps no more of a worker's name, a failure's text and its details than it passes on", () => {
    const long = "n".repeat(100_000);
    expect(atBroker("SHLW01\x01", "echo", Buffer.of(0, 0, 0, 1, 0, 0, 0, 1), long)).toMatchObject({
      kind: "ready",
      name: "n".repeat(255),
    });
    const head = "SHLW01\x07\0\0\0\x01";
    const cut = "n".repeat(4_096);
    expect(atBroker(head, "worker-failed", long, long)).toMatchObject({ text: cut, details: undefined });
    const details = Buffer.from(`{"code":"E"}`);
    const frames = [PEER, ...[head, "worker-failed", "no"].map((part) => Buffer.from(part))];
    const chunk = Buffer.concat([details, Buffer.alloc(65_536)]);
    const kept = decode("broker", [...frames, chunk.subarray(0, details.length)]) as { details: Buffer };
    expect(kept.details.equals(details)).toBe(true);
    expect(kept.details.buffer).not.toBe(chunk.buffer);
    const plain = atBroker("", "MDPW01", 3, "\0\0\0\x01", "", "shoal.error", "worker-failed", long);
    expect(plain).toMatchObject({ kind: "failure", number: 1, reason: "worker-failed", text: cut });
  });

  it.each([
    ["one frame", [""], "frames"],
    ["nothing after the header's place", ["", "junk"], "header"],
    ["another header", ["", "MDPC99", "echo", "x"], "header"],
    ["0.1 without its empty frame", ["MDPC01", "echo", "x"], "frames"],
    ["0.2 with an empty frame", ["", "MDPC02", 1, "echo", "x"], "frames"],
    ["a client without a service", ["", "MDPC01"], "service"],
    ["a client with an empty service", ["", "MDPC01", "", "x"], "service"],
    ["a service of 256 bytes", ["", "MDPC01", "s".repeat(256), "x"], "service"],
    ["a client without a body", ["", "MDPC01", "echo"], "body"],
    ["a client's answer", ["MDPC02", 3, "echo", "x"], "command"],
    ["a worker without a command", ["", "MDPW01"], "command"],
    ["a command of 0", ["", "MDPW01", 0], "command"],
    ["0.2's DISCONNECT in 0.1", ["", "MDPW01", 6], "command"],
    ["shoal's DRAIN in 0.2", ["MDPW02", 9], "command"],
    ["a REQUEST from a worker", ["", "MDPW01", 2, "c", "", "x"], "command"],
    ["READY without a service", ["", "MDPW01", 1], "service"],
    ["a reply without a tag", ["", "MDPW01", 3], "number"],
    ["a reply without its empty frame", ["", "MDPW01", 3, "\0\0\0\x01", "x", "y"], "frames"],
    ["a reply with a longer address", ["", "MDPW01", 3, "\0\0\0\x01", "x", "", "y"], "frames"],
    ["a reply without a body", ["", "MDPW01", 3, "\0\0\0\x01", ""], "body"],
    ["a capacity of 0", ["SHLW01\x01", "echo", "\0\0\0\0\0\0\0\0"], "capacity"],
    ["less capacity than concurrency", ["SHLW01\x01", "echo", "\0\0\0\x02\0\0\0\x01"], "capacity"],
    ["no capacity", ["SHLW01\x01", "echo"], "capacity"],
    ["an id of 3 bytes", ["SHLC01\x02abc", "x"], "id"],
    ["a request without its time", [`SHLC01\x02${"i".repeat(25)}\0\0\0`, "x"], "id"],
    ["an id without a service", [`SHLC01\x02${"i".repeat(29)}`, "x"], "service"],
    ["an id with an empty service", [`SHLC01\x02${"i".repeat(29)}\0`, "x"], "service"],
    ["an id with a service that is cut off", [`SHLC01\x02${"i".repeat(29)}\x05echo`, "x"], "service"],
    ["too many headers", [`SHLC01\x02${"i".repeat(29)}\x04echo${"\0".repeat(8_193)}`, "x"], "headers"],
    ["an id without a body", [`SHLC01\x02${"i".repeat(29)}\x04echo`], "body"],
    ["a cancelling without a number", ["SHLC01\x08", ""], "number"],
    ["an answer from a client of shoal's", [`SHLC01\x04${"\0".repeat(8)}`, "x"], "command"],
    ["a header of shoal's without a command", ["SHLC01", "x"], "header"],
    ["shoal's reply without a number", ["SHLW01\x04abc", "x"], "number"],
    ["a failure without a text", ["SHLW01\x07\0\0\0\x01", "worker-failed"], "frames"],
    ["a failure with a fourth frame", ["SHLW01\x07\0\0\0\x01", "worker-failed", "no", "{}", "x"], "frames"],
    ["a piece without a body", [`SHLW01\x03${"\0".repeat(8)}`], "body"],
    ["a cancelling from a worker", ["SHLW01\x08\0\0\0\x01"], "command"],
    ["shoal's REQUEST from a worker", ["SHLW01\x02abcd", "x"], "command"],
  ] as const)("refuses %s", (_, parts, reason) => {
    expect(atBroker(...parts)).toMatchObject({ kind: "fault", reason });
  });
});

describe("a peer", () => {
  it.each([
    ["client", [3, 4, 5, 6, 7, 15], "SHLC01"],
    ["worker", [2, 5, 6, 8, 10, 14], "SHLW01"],
  ] as const)("that is a %s takes the commands of its side only", (receiver, own, header) => {
    for (let command = 0; command < 256; command++) {
      const head = `${header}${String.fromCharCode(command)}`;
      const read = decode(receiver, [Buffer.from(head, "latin1"), Buffer.from("x")]);
      const isFault = read.kind === "fault" && read.reason === "command";
      expect([command, isFault]).toEqual([command, !(own as readonly number[]).includes(command)]);
    }
    for (const other of ["client", "worker"] as const)
      if (other !== receiver)
        expect(decode(other, [Buffer.from(`${header}\x05`)])).toMatchObject({ reason: "header" });
  });

  it("without a broker's name for it takes no request and no answer of MDP", () => {
    for (const [command, empty] of [
      [2, ""],
      [2, "x"],
    ] as const)
      expect(decode("worker", frames("", "MDPW01", command, empty, "body"))).toMatchObject({ kind: "fault" });
    expect(decode("client", frames("", "MDPC01", "", "body"))).toMatchObject({ kind: "fault" });
    expect(decode("client", frames("MDPC02", 4, "echo", "body"))).toMatchObject({ kind: "fault" });
  });
});

describe("the two ends of each message", () => {
  it("a number is found by its lower half, as long as no more than 2^32 newer ones follow", () => {
    for (const newest of [1, 7, 2 ** 31, 2 ** 32, 2 ** 32 + 3, 3 * 2 ** 32 - 1, 2 ** 52])
      for (const before of [0, 1, 5, 2 ** 31, 2 ** 32 - 1])
        if (newest > before) expect(numberNear((newest - before) >>> 0, newest)).toBe(newest - before);
  });

  it("a worker sends back all frames of an address, as behind a chain of brokers", () => {
    const request = decode("worker", frames("", "MDPW01", 2, "hop1", "hop2", "", "x"));
    expect(request).toMatchObject({ address: frames("hop1", "hop2", "") });
    expect(bodyOf(request)).toEqual(["x"]);
  });

  it("nothing but a whole error mark at the end of a plain answer is a failure", () => {
    const answer = (...body: string[]) => decode("client", frames("", "MDPC01", "echo", ...body));
    expect(answer("shoal.error", "overloaded", "full")).toMatchObject({
      kind: "failure",
      address: frames("echo"),
      reason: "overloaded",
      text: "full",
    });
    expect(answer("shoal.error", "overloaded").kind).toBe("answer");
    expect(answer("shoal.errors", "overloaded", "full").kind).toBe("answer");
    const piece = frames("MDPC02", 2, "echo", "shoal.error", "overloaded", "full");
    expect(decode("client", piece)).toMatchObject({ kind: "answer", final: false });
    const ours = frames(`SHLC01\x04${"\0".repeat(8)}`, "shoal.error", "overloaded", "full");
    expect(decode("client", ours).kind).toBe("answer");
    expect(headerOf(Buffer.from("MDPC0"))).toBeUndefined();
  });
});
