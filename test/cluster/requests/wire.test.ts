/** Requests as bytes: junk, and the vectors of the specification. */
import { describe, expect, it } from "vitest";
import {
  BodyForm,
  decodeBody,
  decodeRequest,
  encodeBody,
  encodeCall,
  encodeCredit,
  encodeEnd,
  encodeFailure,
  encodePart,
  encodeReply,
  encodeSign,
  RequestOp,
} from "../../../src/cluster/requests/wire.js";
import { BYTES } from "../../support/bytes.js";
import { vectorsUnder } from "../../support/markdown.js";
import fc from "../../support/properties.js";

describe("requests as bytes", () => {
  it("takes junk for junk, and never throws", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (junk) => {
        decodeRequest(Buffer.from(junk));
      }),
      { numRuns: 1_000_000, defaultRuns: 5_000 },
    );
    const extras = { method: "m", headers: { trace: "7" }, parts: 2, bytes: 9 };
    const whole = encodeCall(300, 5_000, "pay", extras, encodeBody({ amount: 5 }));
    fc.assert(
      fc.property(fc.nat(whole.length), fc.nat(whole.length - 1), fc.nat(255), (end, at, byte) => {
        const changed = Buffer.from(whole.subarray(0, end));
        if (at < end) changed[at] = byte;
        decodeRequest(changed);
      }),
      { numRuns: 1_000_000, defaultRuns: 5_000 },
    );
  });

  it("refuses what is not one", () => {
    const junk = (hex: string): unknown => decodeRequest(Buffer.from(hex, "hex"));
    expect(junk("")).toBe("empty");
    expect(junk("0f01")).toBe("op");
    expect(junk("8101000178")).toBe("op");
    expect(junk("0100")).toBe("id");
    expect(junk("01010000")).toBe("service");
    expect(junk("0101000178")).toMatchObject({ service: "x", form: BodyForm.BYTES });
    expect(junk("01010001ff")).toBe("service");
    // A time limit with more bytes than it needs, or without an end, before the service that was named last.
    for (const limit of ["8000", "8080808080808080"]) expect(junk(`0101${limit}0178`)).toBe("service");
    const extras = { method: "", parts: 0 };
    expect(junk("410100000000000178")).toMatchObject({ service: "x", extras });
    expect(junk("4101016d")).toBe("extras");
    // One name without a value, and one name twice.
    expect(junk("410100010161000000000178")).toBe("extras");
    expect(junk("4101000401610162016101630000000178")).toBe("extras");
    expect(junk("020101")).toBe("load");
    expect(junk("42010101")).toBe("op");
    expect(junk("03010101026f")).toBe("failure");
    expect(junk("0601")).toBe("credit");
    expect(() => decodeBody(BodyForm.TEXT, Buffer.from([0xff]))).toThrow("UTF-8");
    expect(() => decodeBody(BodyForm.JSON, Buffer.from("{"))).toThrow("JSON");
  });

  it("is what the specification has", () => {
    const plain = { method: "", headers: {}, parts: 0, bytes: 0 };
    const headed = { ...plain, headers: { trace: "7" } };
    const counted = { ...plain, parts: 256, bytes: 1_048_576 };
    const idle = { busy: 0, slots: 256 };
    const details = Buffer.from('{"code":"SOLD_OUT"}');
    const items: readonly (readonly [what: string, bytes: Buffer])[] = [
      [
        "CALL 1, 5,000 ms, service `resize`, the text `cat.png`",
        encodeCall(1, 5_000, "resize", undefined, encodeBody("cat.png")),
      ],
      [
        'CALL 300, no limit, service `pay`, headers `trace: 7`, JSON `{"amount":5}`',
        encodeCall(300, 0, "pay", headed, encodeBody({ amount: 5 })),
      ],
      [
        "CALL 2, no limit, service `count`, 256 parts and 1,048,576 bytes, no body",
        encodeCall(2, 0, "count", counted, encodeBody(undefined)),
      ],
      [
        "REPLY 1, 3 busy of 256, the bytes `00ff`",
        encodeReply(1, { busy: 3, slots: 256 }, encodeBody(Buffer.from([0, 255]))),
      ],
      ["REPLY 2, 0 busy of 256, the text `cat`", encodeReply(2, idle, encodeBody("cat"))],
      [
        "FAILURE 1, 256 busy of 256, `overloaded`, no message",
        encodeFailure(1, { busy: 256, slots: 256 }, "overloaded", ""),
      ],
      [
        'FAILURE 300, 0 busy of 256, `worker-failed`, `sold out`, `{"code":"SOLD_OUT"}`',
        encodeFailure(300, idle, "worker-failed", "sold out", details),
      ],
      ["PART 2, JSON `7`", encodePart(2, encodeBody(7))],
      ["END 2, 0 busy of 256", encodeEnd(2, idle)],
      ["CREDIT 2, 128 parts, 1,024 bytes", encodeCredit(2, 128, 1_024)],
      ["CANCEL 300", encodeSign(RequestOp.CANCEL, 300)],
      ["CHECK 300", encodeSign(RequestOp.CHECK, 300)],
      ["GONE 300", encodeSign(RequestOp.GONE, 300)],
    ];
    expect(vectorsUnder("spec/services.md", "Vectors")).toEqual(
      items.map(([what, bytes]) => [what, bytes.toString("hex")]),
    );
    const body = { form: BodyForm.TEXT, body: Buffer.from("cat") };
    expect(items.map(([, bytes]) => decodeRequest(bytes))).toMatchObject([
      { op: RequestOp.CALL, id: 1, timeout: 5_000, service: "resize" },
      { op: RequestOp.CALL, id: 300, timeout: 0, extras: { headers: { trace: "7" } } },
      { op: RequestOp.CALL, id: 2, extras: { parts: 256, bytes: 1_048_576 }, form: BodyForm.NONE },
      { op: RequestOp.REPLY, id: 1, busy: 3, slots: 256, form: BodyForm.BYTES, body: Buffer.from([0, 255]) },
      { op: RequestOp.REPLY, id: 2, busy: 0, slots: 256, ...body },
      { op: RequestOp.FAILURE, id: 1, busy: 256, slots: 256, reason: "overloaded", message: "" },
      { op: RequestOp.FAILURE, reason: "worker-failed", message: "sold out", details },
      { op: RequestOp.PART, id: 2, form: BodyForm.JSON, body: Buffer.from("7") },
      { op: RequestOp.END, id: 2, busy: 0, slots: 256 },
      { op: RequestOp.CREDIT, id: 2, parts: 128, bytes: 1_024 },
      { op: RequestOp.CANCEL, id: 300 },
      { op: RequestOp.CHECK, id: 300 },
      { op: RequestOp.GONE, id: 300 },
    ]);
  });
});

it.each(Object.entries(BYTES))("the bytes of %s are a body of bytes", (_, make) => {
  const { form, data } = encodeBody(make());
  expect(decodeBody(form, Buffer.from(data as Uint8Array))).toEqual(Buffer.from([1, 2, 3, 4]));
});
