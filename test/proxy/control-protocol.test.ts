import { endianness } from "node:os";
import { describe, expect, it } from "vitest";
import { errorReply, jsonReply } from "../../src/control/protocol.js";
import { InvalidArgumentError, InvalidStateError } from "../../src/index.js";
import { parseControl, statisticsReply, wordReply } from "../../src/proxy/control-protocol.js";
import fc from "../support/properties.js";

const parse = (...texts: string[]) => parseControl(texts.map((text) => Buffer.from(text)));

describe("what a control socket understands", () => {
  it.each([
    ["PAUSE", "pause"],
    ["RESUME", "resume"],
    ["TERMINATE", "terminate"],
    ["KILL", "kill"],
    ["STATISTICS", "statistics"],
  ])("%s", (word, action) => {
    expect(parse(word)).toEqual({ action, as: "word", timeout: undefined });
  });

  it("JSON with a command, of which a drain may name its time", () => {
    for (const action of ["status", "pause", "resume", "drain", "terminate", "kill"]) {
      expect(parse(JSON.stringify({ command: action }))).toEqual({ action, as: "json", timeout: undefined });
    }
    expect(parse('{"command":"peers","side":"backend"}')).toMatchObject({ action: "peers", side: "backend" });
    for (const text of ['{"command":"peers"}', '{"command":"peers","side":"capture"}'])
      expect(() => parse(text)).toThrow(InvalidArgumentError);
    expect(parse('{"command":"drain","timeout":5000}')).toMatchObject({ timeout: 5_000 });
  });

  it.each([
    [["pause"], /expected PAUSE, RESUME/],
    [["PAUSE "], /expected PAUSE/],
    [[""], /expected PAUSE/],
    [["PAUSE", ""], /one frame; got 2/],
    [[], /one frame; got 0/],
    [["[]"], /expected an object/],
    [["null"], /expected an object/],
    [["7"], /expected an object/],
    [["{}"], /expected a command of status/],
    [['{"command":"explode"}'], /expected a command/],
    [['{"command":"constructor"}'], /expected a command/],
    [['{"command":"pause","timeout":1}'], /pause has no member "timeout"/],
    [['{"command":"drain","timeout":-1}'], /whole number of ms/],
    [['{"command":"drain","timeout":"1"}'], /whole number of ms/],
    [['{"command":"status","x":1}'], /status has no member "x"/],
    [["x".repeat(4_097)], /at most 4096 bytes; got 4097/],
  ] as [string[], RegExp][])("not %j", (texts, why) => {
    expect(() => parse(...texts)).toThrow(InvalidArgumentError);
    expect(() => parse(...texts)).toThrow(why);
  });

  it("nothing that anybody makes up is carried out, or throws anything else", () => {
    const json = fc.json().map((text) => [Buffer.from(text)]);
    const bytes = fc.array(fc.uint8Array({ maxLength: 60 }).map((array) => Buffer.from(array)));
    const own = fc
      .record({ command: fc.constantFrom("status", "drain", "stop", null), timeout: fc.anything() })
      .map((value) => {
        try {
          return [Buffer.from(JSON.stringify(value))];
        } catch {
          return [];
        }
      });
    fc.assert(
      fc.property(fc.oneof(json, bytes, own), (message) => {
        let action: string;
        try {
          ({ action } = parseControl(message));
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidArgumentError);
          expect((error as Error).message.length).toBeLessThan(200);
          return;
        }
        expect(["status", "drain"]).toContain(action);
      }),
    );
  });
});

describe("how it answers", () => {
  it("STATISTICS with eight numbers of eight bytes, the frontend first, what came in first", () => {
    const side = (first: number) => ({
      in: { messages: first, bytes: first + 1 },
      out: { messages: first + 2, bytes: 2 ** 40 + first },
    });
    const reply = statisticsReply(side(1), side(10));
    const read = (frame: Buffer): number =>
      Number(endianness() === "LE" ? frame.readBigUInt64LE() : frame.readBigUInt64BE());
    expect(reply.map((frame) => frame.length)).toEqual(Array(8).fill(8));
    expect(reply.map(read)).toEqual([1, 2, 3, 2 ** 40 + 1, 10, 11, 12, 2 ** 40 + 10]);
  });

  it("words with an empty frame, commands and faults with JSON", () => {
    expect(wordReply()).toEqual([Buffer.alloc(0)]);
    expect(String(jsonReply({ state: "paused" }))).toBe('{"ok":true,"state":"paused"}');
    expect(JSON.parse(String(errorReply("no")))).toEqual({
      ok: false,
      error: { code: "EINVAL", message: "no" },
    });
    expect(JSON.parse(String(errorReply(new InvalidStateError("EFSM", "not now"))))).toMatchObject({
      error: { code: "EFSM" },
    });
  });
});
