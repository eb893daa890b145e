import { describe, expect, it } from "vitest";
import { InvalidArgumentError } from "../../src/index.js";
import { parseControl } from "../../src/proxy/control-protocol.js";

const parse = (...texts: string[]) => parseControl(texts.map((text) => Buffer.from(text)));

describe("what a control socket understands", () => {
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
    [['{"command":"peers"}'], /side/],
    [['{"command":"peers","side":"capture"}'], /side/],
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
