/** Frames to commands, as brokers, workers and clients meet them on the wire. */
import { describe, expect, it } from "vitest";
import {
  answer,
  extendedRequest,
  parseAtClient,
  plainRequest,
} from "../../../src/patterns/majordomo/client-messages.js";
import {
  DELIVERY_ID,
  headTemplate,
  idIn,
  oldestIn,
  requestHead,
  sequenceIn,
} from "../../../src/patterns/majordomo/header.js";
import {
  ClientCommand,
  Dialect,
  EMPTY,
  failureIn,
  headerOf,
} from "../../../src/patterns/majordomo/protocol.js";
import {
  delivery,
  parseAtBroker,
  parseAtWorker,
  readyMessage,
  replyMessage,
  workerSignal,
} from "../../../src/patterns/majordomo/worker-messages.js";

const { Mdp01, Mdp02, Shoal } = Dialect;
const PEER = Buffer.from([0, 255, 10, 0, 1]);

/** Short ZMTP frames, as hex: flags, size, body. */
function fromWire(hex: string): Buffer[] {
  const bytes = Buffer.from(hex, "hex");
  const frames: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const size = bytes[at + 1] as number;
    frames.push(bytes.subarray(at + 2, at + 2 + size));
    at += 2 + size;
  }
  return frames;
}

function toWire(frames: readonly (Buffer | string)[]): string {
  return frames
    .map((frame, i) => {
      const bytes = Buffer.from(frame as Buffer);
      return Buffer.concat([Buffer.of(i < frames.length - 1 ? 1 : 0, bytes.length), bytes]).toString("hex");
    })
    .join("");
}

const frames = (...parts: (string | number | Buffer)[]): Buffer[] =>
  parts.map((part) => (typeof part === "number" ? Buffer.of(part) : Buffer.from(part as string)));
const atBroker = (...parts: (string | number | Buffer)[]) => parseAtBroker([PEER, ...frames(...parts)]);

describe("captured messages of libzmq programs", () => {
  it("READY of 0.1 for echo", () => {
    const hex = "010001064d445057303101010100046563686f";
    expect(parseAtBroker([PEER, ...fromWire(hex)])).toMatchObject({
      kind: "ready",
      dialect: Mdp01,
      capacity: 1,
    });
    expect(toWire(readyMessage(Mdp01, Buffer.from("echo"), { concurrency: 1, capacity: 1 }, ""))).toBe(hex);
  });

  it("a request of 0.1 to echo", () => {
    const hex = "010001064d445043303101046563686f00024869";
    const command = parseAtBroker([PEER, ...fromWire(hex)]);
    expect(command).toMatchObject({ kind: "request", dialect: Mdp01, body: [Buffer.from("Hi")] });
    expect(toWire(plainRequest(Mdp01, Buffer.from("echo"), ["Hi"]))).toBe(hex);
  });
});

describe("a broker", () => {
  it("refuses more frames than a worker takes, with those in front of them", () => {
    const message = [PEER, ...frames("", "MDPC01", "echo"), ...Array.from({ length: 65_468 }, () => EMPTY)];
    expect(message).toHaveLength(65_472);
    expect(parseAtBroker(message)).toMatchObject({ kind: "request" });
    expect(parseAtBroker([...message, EMPTY])).toMatchObject({ kind: "fault", reason: "frames" });
  });

  it("reads HEARTBEAT and DISCONNECT by the numbers of their version", () => {
    expect(atBroker("", "MDPW01", 4).kind).toBe("heartbeat");
    expect(atBroker("", "MDPW01", 5).kind).toBe("disconnect");
    expect(atBroker("MDPW02", 5).kind).toBe("heartbeat");
    expect(atBroker("MDPW02", 6).kind).toBe("disconnect");
    expect(atBroker("SHLW01\x09").kind).toBe("drain");
  });

  it("takes a reply by its tag, and its pieces in 0.2", () => {
    const tag = Buffer.from([0, 0, 1, 2]);
    expect(atBroker("", "MDPW01", 3, tag, "", "x")).toMatchObject({ kind: "final", tag: 258 });
    expect(atBroker("MDPW02", 3, tag, "", "x")).toMatchObject({ kind: "partial", tag: 258 });
    expect(atBroker("MDPW02", 4, tag, "", "x")).toMatchObject({ kind: "final", tag: 258 });
    expect(atBroker(Buffer.concat([Buffer.from("SHLW01\x04"), tag]))).toMatchObject({
      kind: "final",
      tag: 258,
      body: [],
    });
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
    ["a reply without a tag", ["", "MDPW01", 3], "tag"],
    ["a reply without its empty frame", ["", "MDPW01", 3, "\0\0\0\x01", "x", "y"], "frames"],
    ["a reply without a body", ["", "MDPW01", 3, "\0\0\0\x01", ""], "body"],
    ["a capacity of 0", ["SHLW01\x01", "echo", "\0\0\0\0\0\0\0\0"], "capacity"],
    ["less capacity than concurrency", ["SHLW01\x01", "echo", "\0\0\0\x02\0\0\0\x01"], "capacity"],
    ["no capacity", ["SHLW01\x01", "echo"], "capacity"],
    ["an id of 3 bytes", ["SHLC01\x01abc", "x"], "id"],
    ["an id without a service", [`SHLC01\x01${"i".repeat(20)}`, "x"], "service"],
    ["an id with a service of 256 bytes", [`SHLC01\x01${"i".repeat(20)}${"s".repeat(256)}`, "x"], "service"],
    ["an id without a body", [`SHLC01\x01${"i".repeat(20)}echo`], "body"],
    ["a cancelling without an id", ["SHLC01\x05", ""], "id"],
    ["an answer from a client of shoal's", [`SHLC01\x03${"i".repeat(16)}`, "x"], "command"],
    ["a header of shoal's without a command", ["SHLC01", "x"], "header"],
    ["shoal's reply without a tag", ["SHLW01\x04abc", "x"], "tag"],
    ["shoal's REQUEST from a worker", ["SHLW01\x02abcd", "x"], "command"],
  ] as const)("refuses %s", (_, parts, reason) => {
    expect(atBroker(...parts)).toMatchObject({ kind: "fault", reason });
  });
});

describe("the two ends of each message", () => {
  it.each([
    ["0.1", Mdp01],
    ["0.2", Mdp02],
    ["shoal", Shoal],
  ] as const)("agree in %s", (_, dialect) => {
    const body = frames("a", "", "b");
    const service = Buffer.from("echo");
    const template = headTemplate(Buffer.alloc(8, 7), service);
    const head =
      dialect === Shoal ? requestHead(template, ClientCommand.Request, 4_294_967_299, 4_294_967_290) : EMPTY;
    const asked = dialect === Shoal ? extendedRequest(head, body) : plainRequest(dialect, service, body);
    const command = parseAtBroker([PEER, ...(asked as Buffer[])]);
    expect(command).toMatchObject({ kind: "request", dialect, body, service });
    const [, ...sent] = delivery(PEER, dialect, 77, head, body, 0) as Buffer[];
    const request = parseAtWorker(sent);
    expect(request).toMatchObject({ kind: "request", dialect, body });
    if (request.kind !== "request") return;
    if (dialect === Shoal) {
      expect(sequenceIn(request.head, DELIVERY_ID)).toBe(4_294_967_299);
      expect(oldestIn(request.head, DELIVERY_ID, 4_294_967_299)).toBe(4_294_967_290);
      expect(idIn(request.head).toString("hex")).toBe("07070707070707070000000100000003");
    }
    const reply = replyMessage(request, true, body, 0) as Buffer[];
    expect(parseAtBroker([PEER, ...reply])).toMatchObject({ kind: "final", tag: 77, body });
    const [, ...beat] = workerSignal(PEER, dialect, "Heartbeat") as Buffer[];
    expect(parseAtWorker(beat)).toEqual({ kind: "heartbeat", dialect });
    const [, ...told] = answer({ client: PEER, dialect, head }, true, service, body, 0) as Buffer[];
    expect(parseAtClient(told)).toMatchObject({ kind: "answer", final: true, body });
  });

  it("a worker sends back all frames of an address, as behind a chain of brokers", () => {
    const request = parseAtWorker(frames("", "MDPW01", 2, "hop1", "hop2", "", "x"));
    expect(request).toMatchObject({ envelope: frames("hop1", "hop2"), body: frames("x") });
  });

  it("nothing but a whole error mark is a failure", () => {
    expect(failureIn(frames("shoal.error", "overloaded", "full"))).toEqual({
      reason: "overloaded",
      text: "full",
    });
    expect(failureIn(frames("shoal.error", "overloaded"))).toBeUndefined();
    expect(failureIn(frames("shoal.errors", "overloaded", "full"))).toBeUndefined();
    expect(headerOf(Buffer.from("MDPC0"))).toBeUndefined();
  });
});
