import { EventEmitter } from "node:events";
import { PassThrough, Readable } from "node:stream";
import { expect, test } from "vitest";
import { Input } from "../../src/cli/input.js";
import { LINES } from "../../src/cli/output.js";
import { withTerminal } from "../../src/cli/terminal.js";
import fc from "../support/properties.js";

/** The lines, and the error after them. */
async function splitAll(
  chunks: readonly (Buffer | string)[],
  max?: number,
): Promise<{ readonly lines: string[]; readonly fault: string | undefined }> {
  const out = new PassThrough();
  const stdin = Readable.from(chunks.map((chunk) => Buffer.from(chunk)));
  const input = withTerminal(
    { stdin, stdout: out, stderr: out, signals: new EventEmitter() },
    () => new Input(LINES, false, new AbortController().signal, max),
  );
  const lines: string[] = [];
  try {
    for await (const [line] of input.messages()) lines.push((line as Buffer).toString("latin1"));
  } catch (error) {
    return { lines, fault: (error as Error).message };
  }
  return { lines, fault: undefined };
}

test("the input has the same lines however the bytes are cut into chunks", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.integer({ min: 0, max: 12 }), { maxLength: 8 }), { maxLength: 8 }),
      async (chunks) => {
        const buffers = chunks.map((bytes) => Buffer.from(bytes));
        const whole = Buffer.concat(buffers).toString("latin1");
        const expected = whole.split("\n");
        if (expected.at(-1) === "") expected.pop();
        expect((await splitAll(buffers)).lines).toEqual(expected);
      },
    ),
  );
});

test("the input ends at a line above the bound, after the lines before it", async () => {
  expect(await splitAll(["abcd\nab", "c\nabc", "de\nok\n", "ok\n"], 4)).toEqual({
    lines: ["abcd", "abc"],
    fault: "line 3 is longer than 4 bytes",
  });
});

test("a line is too long before its end has come", async () => {
  expect(await splitAll(["abcde"], 4)).toEqual({ lines: [], fault: "line 1 is longer than 4 bytes" });
});
