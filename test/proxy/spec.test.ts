/** docs/spec/proxy.md: its vectors are what this code writes, and read back what it says. */
import { endianness } from "node:os";
import { describe, expect, it } from "vitest";
import { errorReply, jsonReply } from "../../src/control/server.js";
import { InvalidArgumentError, InvalidStateError } from "../../src/core/errors.js";
import { encodeTrailer, parseTrailer, type Trailer } from "../../src/patterns/espresso/rules.js";
import { parseControl, statisticsReply, wordReply } from "../../src/proxy/control.js";
import { codes, tableUnder } from "../support/markdown.js";

/** The last code of each row: frames in hexadecimal, spaces between, `-` for an empty one. */
function vectors(file: string, heading: string): Buffer[][] {
  return tableUnder(`spec/${file}`, heading).map(([, text]) =>
    (codes(text as string).at(-1) as string)
      .split(" ")
      .map((hex) => Buffer.from(hex === "-" ? "" : hex, "hex")),
  );
}

const counts = (first: number) => ({
  in: { messages: first, bytes: first + 1 },
  out: { messages: first + 2, bytes: first + 3 },
});

describe("the proxy's wire forms", () => {
  it("replies of the control socket are those of the page", () => {
    const [statistics, word, json, error] = vectors("proxy.md", "Vectors of the control protocol");
    if (endianness() === "LE") expect(statisticsReply(counts(1), counts(5))).toEqual(statistics);
    expect(wordReply()).toEqual(word);
    expect(jsonReply({ command: "pause" })).toEqual(json);
    expect(errorReply(new InvalidStateError("EFSM", "no"))).toEqual(error);
  });

  it("every command of the page is understood, and nothing else", () => {
    const rows = tableUnder("spec/proxy.md", "Control protocol");
    const words = codes(rows[0]?.[0] as string).concat(codes(rows[1]?.[0] as string));
    expect(words).toHaveLength(5);
    const asWord = { as: "word", timeout: undefined };
    for (const word of words)
      expect(parseControl([Buffer.from(word)])).toEqual({ ...asWord, action: word.toLowerCase() });
    const [, pause, peers, drain] = rows.slice(2).map(([cell]) => codes(cell as string));
    const names = ["status", "pause", ...(pause as string[]).slice(1)];
    expect(names).toEqual(["status", "pause", "resume", "terminate", "kill"]);
    for (const command of names)
      expect(parseControl([Buffer.from(JSON.stringify({ command }))])).toMatchObject({ action: command });
    const asked = parseControl([Buffer.from(peers?.[0] as string)]);
    expect(asked).toMatchObject({ action: "peers", side: "frontend" });
    const text = (drain?.[0] as string).replace("MS", "5");
    expect(parseControl([Buffer.from(text)])).toMatchObject({ action: "drain", timeout: 5 });
    for (const frames of [["STOP"], ["PAUSE", ""], ['{"command":"pause","x":1}'], ["x".repeat(4_097)]])
      expect(() => parseControl(frames.map((each) => Buffer.from(each)))).toThrow(InvalidArgumentError);
  });

  it("a tap's trailers are those of the page", () => {
    const trailers: Trailer[] = [
      { from: "frontend", frames: 2, size: 12, time: 1_000 },
      { from: "backend", frames: 1, size: 3, time: 1.5 },
    ];
    const bytes = vectors("proxy.md", "Vectors of a trailer").map(([frame]) => frame as Buffer);
    expect(trailers.map(encodeTrailer)).toEqual(bytes);
    expect(bytes.map(parseTrailer)).toEqual(trailers);
  });
});
