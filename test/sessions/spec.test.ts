/** The wire form of sessions as docs/spec/sessions.md has it. */
import { describe, expect, it } from "vitest";
import {
  type ClientMessage,
  decodeClientMessage,
  decodeServerMessage,
  encodeClientMessage,
  encodeServerMessage,
  type OpenRequest,
  type ServerMessage,
} from "../../src/sessions/protocol.js";
import { tableUnder } from "../support/markdown.js";

const data = Buffer.from("hi");
/** The header "t" with the value "v". */
const context = Buffer.from("0174000176", "hex");
const CLIENT: readonly ClientMessage[] = [
  { kind: "subscribe", request: 7, filters: ["a/+", "b/#"] },
  { kind: "unsubscribe", request: 8, filters: ["a/+"] },
  { kind: "publish", number: 5, id: "m1", topic: "a/b", data },
  { kind: "publish", number: 6, id: "", topic: "a/b", data, context },
  { kind: "settle", low: 3, numbers: [4, 6] },
  { kind: "reported", drops: 9 },
  { kind: "close", end: true },
];
const SERVER: readonly ServerMessage[] = [
  {
    kind: "opened",
    isPresent: true,
    isContinued: true,
    published: 5,
    count: 2,
    life: "00ff",
  },
  { kind: "done", request: 7 },
  { kind: "published", number: 5, isDuplicate: false, sessions: 2 },
  { kind: "refused", isPublication: true, number: 5, reason: "full", text: "no room" },
  {
    kind: "message",
    number: 1,
    redelivered: true,
    time: 1_700_000_000_000,
    topic: "a/b",
    publisher: "hall",
    id: "",
    data,
  },
  {
    kind: "message",
    number: 2,
    redelivered: false,
    time: 1_700_000_000_000,
    topic: "a/b",
    publisher: "hall",
    id: "",
    data,
    context,
  },
  { kind: "dropped", drops: 9, unreported: 4, old: 1 },
  { kind: "ended", reason: "taken", text: "" },
];
const OPEN: OpenRequest = {
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
  again: false,
  window: 5,
  windowBytes: 50,
};

describe("the wire form of sessions", () => {
  const vectors = tableUnder("spec/sessions.md", "Vectors").map(([, frames]) =>
    [...(frames ?? "").matchAll(/`([0-9a-f]+)`|\(empty\)/g)].map(([, hex]) => Buffer.from(hex ?? "", "hex")),
  );

  it("has a vector for each message but OPEN", () => {
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

  it("of OPEN has its terms as JSON", () => {
    const frames = encodeClientMessage({ kind: "open", open: OPEN });
    expect(frames.slice(0, 2).map(String)).toEqual(["\x01SSN1", "kitchen"]);
    expect(decodeClientMessage(frames)).toEqual({ kind: "open", open: OPEN });
  });

  it.each([
    ["nothing", []],
    ["an empty frame", [""]],
    ["an unknown kind", ["ff"]],
    ["a server's kind", ["87", "", ""]],
    ["OPEN of another version", ["0153534e32", "61", "7b7d"]],
    ["OPEN without terms", ["0153534e31", "61"]],
    ["OPEN with terms that are not JSON", ["0153534e31", "61", "7b"]],
    ["OPEN with null", ["0153534e31", "61", "6e756c6c"]],
    ["OPEN with an id that is none", ["0153534e31", "2f", "7b7d"]],
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

  it.each(
    Object.keys(OPEN).filter((key) => !["id", "clean", "again"].includes(key)),
  )("refuses OPEN with a bad %s", (key) => {
    const frames = encodeClientMessage({ kind: "open", open: { ...OPEN, [key]: null } });
    expect(() => decodeClientMessage(frames)).toThrow(expect.objectContaining({ code: "ERR_PROTOCOL" }));
  });
});
