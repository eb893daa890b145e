/** Contexts as bytes. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { decodeContext, encodeContext } from "../../src/core/message-operations.js";
import fc from "../support/properties.js";

it("reads any bytes as headers or as none", () => {
  expect({ ...decodeContext(Buffer.from("\u0001a\0\u0002bc")) }).toEqual({ a: "bc" });
  for (const cut of ["\u0001", "\u0001a\0", "\u0001a\0\u0002b", "\u0001a\0\u0002bc\u0001"])
    expect(decodeContext(Buffer.from(cut))).toBeUndefined();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1_100 }), (bytes) => {
      const headers = decodeContext(bytes);
      if (headers === undefined || bytes.length === 0) return;
      for (const value of Object.values(headers)) expect(typeof value).toBe("string");
    }),
  );
  const dictionary = fc.dictionary(fc.string({ minLength: 1, maxLength: 20 }), fc.string({ maxLength: 20 }));
  fc.assert(
    fc.property(dictionary, (headers) => {
      const encoded = encodeContext(headers);
      if (encoded !== undefined) expect({ ...decodeContext(encoded) }).toEqual({ ...headers });
    }),
  );
});

it("makes no context of a value that is longer than its length can say", () => {
  expect(encodeContext({ baggage: "x".repeat(65_536) })).toBeUndefined();
});

it("has the hex of the specification", () => {
  const page = readFileSync(new URL("../../docs/tracing.md", import.meta.url), "utf8");
  const [, hex = ""] = /^```text\n(0b[\s\S]*?)```$/m.exec(page) ?? [];
  const context = encodeContext({ traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" });
  expect(hex.trim().split(/\s+/).join("")).toBe(Buffer.from(context as Uint8Array).toString("hex"));
});
