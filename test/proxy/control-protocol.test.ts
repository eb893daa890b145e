import { describe, expect, it } from "vitest";
import { InvalidArgumentError } from "../../src/index.js";
import { parseControl } from "../../src/proxy/control-protocol.js";

const parse = (...texts: string[]) => parseControl(texts.map((text) => Buffer.from(text)));

describe("what a control socket understands", () => {
  it("a side of peers, and the time of a drain", () => {
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
});
