import { describe, expect, test } from "vitest";
import { FormatError } from "../../src/cli/failure.js";
import { type FormatChoice, formatFor } from "../../src/cli/format.js";
import fc from "../support/properties.js";

function printed(choice: FormatChoice, frames: readonly (string | Buffer)[]): Buffer {
  const pieces: Buffer[] = [];
  formatFor(choice).print(
    frames.map((frame) => Buffer.from(frame as string)),
    pieces,
  );
  return Buffer.concat(pieces);
}

function parsed(choice: FormatChoice, line: string | Buffer): string[] {
  return formatFor(choice)
    .parse(Buffer.from(line as string))
    .map((frame) => frame.toString("latin1"));
}

const anyFrames = fc.array(
  fc.oneof(
    fc.uint8Array({ maxLength: 20 }),
    fc.string({ unit: "binary" }).map((text) => Buffer.from(text)),
  ),
  { minLength: 1, maxLength: 4 },
);

describe("JSON", () => {
  test("brings any frames back unchanged, on one line", () => {
    fc.assert(
      fc.property(anyFrames, (frames) => {
        const line = printed({ json: true }, frames.map(Buffer.from));
        expect(line.indexOf("\n")).toBe(line.length - 1);
        const back = formatFor({ json: true }).parse(line.subarray(0, -1));
        expect(back.map((frame) => frame.toString("hex"))).toEqual(
          frames.map((frame) => Buffer.from(frame).toString("hex")),
        );
      }),
    );
  });

  test("writes UTF-8 as text and anything else as base64", () => {
    expect(printed({ json: true }, ["é\n", Buffer.from([0xff]), ""]).toString()).toBe(
      '{"frames":["é\\n",{"base64":"/w=="},""]}\n',
    );
  });

  test.each([
    ["", /invalid JSON/],
    ["{", /invalid JSON/],
    ["null", /expected \{"frames"/],
    ['"a"', /expected \{"frames"/],
    ['{"frames":[]}', /expected \{"frames"/],
    ['{"frames":"a"}', /expected \{"frames"/],
    ['{"frames":["a",1]}', /frame 2/],
    ['{"frames":[null]}', /frame 1/],
    ['{"frames":[{"base64":"a"}]}', /frame 1/],
    ['{"frames":[{"base64":"a b="}]}', /frame 1/],
    ['{"frames":["\\ud800"]}', /frame 1/],
    [Buffer.from([0x22, 0xff, 0x22]), /not UTF-8/],
  ])("refuses %s", (line, why) => {
    expect(() => parsed({ json: true }, line)).toThrow(why);
    expect(() => parsed({ json: true }, line)).toThrow(FormatError);
  });
});

describe("text", () => {
  test("a line is one frame, and frames are printed with a space between", () => {
    expect(parsed({}, "a b")).toEqual(["a b"]);
    expect(parsed({}, "")).toEqual([""]);
    expect(printed({}, ["a", "b"]).toString()).toBe("a b\n");
    expect(printed({}, [""]).toString()).toBe("\n");
  });

  test("a separator of any length splits and joins", () => {
    expect(parsed({ multipart: "::" }, "a::::b:")).toEqual(["a", "", "b:"]);
    expect(printed({ multipart: "::" }, ["a", "", "b"]).toString()).toBe("a::::b\n");
    expect(parsed({ multipart: "|" }, "")).toEqual([""]);
  });

  test("raw bytes are one message and get no line feed", () => {
    expect(formatFor({ raw: true }).whole).toBe(true);
    expect(parsed({ raw: true }, "a\nb")).toEqual(["a\nb"]);
    expect(printed({ raw: true }, ["a", "b"]).toString()).toBe("a b");
  });
});

describe("routing ids", () => {
  test.each([
    ["alice", "alice"],
    ["é", "é"],
    [Buffer.from([0, 0x6b, 0x8b]), "0x006b8b"],
    ["a b", "0x612062"],
    ["a\n", "0x610a"],
    ["0x41", "0x30783431"],
    [Buffer.from([0xff]), "0xff"],
  ])("are one word in text, and the word leads back", (id, word) => {
    expect(printed({ routed: true }, [id, "hello you"]).toString()).toBe(`${word} hello you\n`);
    expect(parsed({ routed: true }, `${word} hello you`)).toEqual([
      Buffer.from(id as string).toString("latin1"),
      "hello you",
    ]);
  });

  test("never hold the separator", () => {
    expect(printed({ routed: true, multipart: "|" }, ["a|b", "", "c"]).toString()).toBe("0x617c62||c\n");
    expect(parsed({ routed: true, multipart: "|" }, "0x617c62||c")).toEqual(["a|b", "", "c"]);
  });

  test("may be followed by an empty message", () => {
    expect(parsed({ routed: true }, "alice ")).toEqual(["alice", ""]);
  });

  test.each(["alice", "", " x", "0xzz x", "0x1 x", `${"a".repeat(256)} x`])("refuses %s", (line) => {
    expect(() => parsed({ routed: true }, line)).toThrow(FormatError);
  });
});
