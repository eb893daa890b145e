/** The wire form of sessions as docs/spec/sessions.md has it. */
import { describe, expect, it } from "vitest";
import {
  type ClientMessage,
  decodeClientMessage,
  decodeServerMessage,
  encodeClientMessage,
  encodeServerMessage,
  type ServerMessage,
  VERSION,
} from "../../src/sessions/protocol.js";
import { tableUnder } from "../support/markdown.js";

const data = Buffer.from("hi");
/** The header "t" with the value "v". */
const context = Buffer.from("0174000176", "hex");
const OPEN: Extract<ClientMessage, { kind: "open" }> = {
  kind: "open",
  version: VERSION,
  id: "kitchen",
  instance: "0123456789abcdef",
  attempt: 1,
  token: "t",
  expiry: 1_000,
  maxQueue: 10,
  maxQueueBytes: 100,
  maxAge: -1,
  drop: "oldest",
  clean: false,
  again: true,
  window: 5,
  windowBytes: 50,
};
const CLIENT: readonly ClientMessage[] = [
  OPEN,
  { kind: "subscribe", request: 7, filters: ["a/+", "b/#"] },
  { kind: "unsubscribe", request: 8, filters: ["a/+"] },
  { kind: "publish", number: 5, id: "m1", topic: "a/b", data },
  { kind: "publish", number: 6, id: "", topic: "a/b", data, context },
  { kind: "settle", low: 3, numbers: [4, 6] },
  { kind: "reported", drops: 9 },
  { kind: "close", end: true },
];
const COMMON = { time: 1_700_000_000_000, topic: "a/b", publisher: "hall", id: "", data };
const MESSAGE = { kind: "message", ...COMMON } as const;
const SERVER: readonly ServerMessage[] = [
  {
    kind: "opened",
    isPresent: true,
    isContinued: true,
    published: 5,
    count: 2,
    maxMessage: 1_000,
    life: "00ff",
  },
  { kind: "done", request: 7 },
  { kind: "published", number: 5, isDuplicate: false, sessions: 2 },
  { kind: "refused", isPublication: true, number: 5, reason: "full", text: "no room" },
  { ...MESSAGE, number: 1, redelivered: true },
  { ...MESSAGE, number: 2, redelivered: false, context },
  { kind: "dropped", drops: 9, unreported: 4, old: 1 },
  { kind: "ended", reason: "taken", text: "" },
];

describe("the wire form of sessions", () => {
  const vectors = tableUnder("spec/sessions.md", "Vectors").map(([, frames]) =>
    [...(frames ?? "").matchAll(/`([0-9a-f]+)`|\(empty\)/g)].map(([, hex]) => Buffer.from(hex ?? "", "hex")),
  );

  it("has a vector for each message", () => {
    expect(vectors).toHaveLength(CLIENT.length + SERVER.length);
  });

  it.each(
    CLIENT.map((message, i) => [message.kind, message, i] as const),
  )("of %s is that of its vector", (_, message, i) => {
    expect(encodeClientMessage(message).map((frame) => frame.toString("hex"))).toEqual(
      vectors[i]?.map((frame) => frame.toString("hex")),
    );
    expect(decodeClientMessage(vectors[i] as Buffer[])).toEqual(message);
  });

  it.each(
    SERVER.map((message, i) => [message.kind, message, i] as const),
  )("of %s is that of its vector", (_, message, i) => {
    const vector = vectors[CLIENT.length + i] as Buffer[];
    expect(encodeServerMessage(message).map((frame) => frame.toString("hex"))).toEqual(
      vector.map((frame) => frame.toString("hex")),
    );
    expect(decodeServerMessage(vector)).toEqual(message);
  });

  it.each([
    ["nothing", []],
    ["an empty frame", [""]],
    ["an unknown kind", ["ff"]],
    ["a server's kind", ["87", "", ""]],
    ["OPEN without its fields", ["0153534e31", "61"]],
    ["SUBSCRIBE without a filter", ["0200000001"]],
    ["SUBSCRIBE to what is not a filter", ["0200000001", "612f23622f"]],
    ["SUBSCRIBE with a short number", ["020000", "61"]],
    ["SUBSCRIBE with a long number", ["020000000100", "61"]],
    ["PUBLISH to what is not a topic", ["04000000000001", "", "2b", "61"]],
    ["PUBLISH without data", ["04000000000001", "", "61"]],
    ["PUBLISH with a long id", ["04000000000001", "61".repeat(129), "61", "61"]],
    ["SETTLE with half a number", ["05000000000001000000"]],
    ["SETTLE with too many numbers", [`05000000000001${"000000000001".repeat(8_193)}`]],
  ])("refuses %s", (_, frames) => {
    expect(() => decodeClientMessage(frames.map((hex) => Buffer.from(hex, "hex")))).toThrow(
      expect.objectContaining({ code: "ERR_PROTOCOL" }),
    );
  });

  it.each<Partial<typeof OPEN>>([
    { version: 1 },
    { id: "/" },
    { instance: "x" },
    { attempt: 0 },
    { maxQueue: 0 },
    { maxQueueBytes: 0 },
    { window: 0 },
    { window: 8_193 },
    { windowBytes: 0 },
    { drop: "x" as never },
    { token: "t".repeat(513) },
  ])("refuses OPEN with %o", (wrong) => {
    const frames = encodeClientMessage({ ...OPEN, ...wrong });
    expect(() => decodeClientMessage(frames)).toThrow(expect.objectContaining({ code: "ERR_PROTOCOL" }));
  });
});
