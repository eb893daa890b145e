import { describe, expect, test } from "vitest";
import { InvalidMessageError } from "../../src/core/errors.js";
import {
  errorReply,
  failureReply,
  handlerFailure,
  parseErrorReply,
  refuse,
  requestFailure,
  ServiceError,
} from "../../src/kit/errors.js";

const exposed = (text: string, details: object = {}): Error =>
  Object.assign(new Error(text), details, { expose: true });

const handlerErrorReply = (error: unknown): Buffer[] => failureReply(handlerFailure(error));
const shown = (error: unknown): string => handlerErrorReply(error).map(String).join("|");

const frames = (...texts: string[]): Buffer[] => texts.map((text) => Buffer.from(text));

describe("an error reply", () => {
  test("is three frames, and is read as it was written", () => {
    expect(errorReply("overloaded", "full").map(String)).toEqual(["shoal.error", "overloaded", "full"]);
    expect(parseErrorReply(errorReply("overloaded", "full"), "fish")).toMatchObject({
      code: "ERR_SERVICE",
      reason: "overloaded",
      service: "fish",
      message: "fish: full",
    });
  });

  test("has a fourth frame for the code and data of what a handler threw, and only for these", () => {
    expect(handlerErrorReply(exposed("no fish"))).toHaveLength(3);
    const reply = handlerErrorReply(exposed("no fish", { code: "E_FISH", data: { depth: 3 } }));
    expect(String(reply[3])).toBe('{"code":"E_FISH","data":{"depth":3}}');
    expect(parseErrorReply(reply, "fish")).toMatchObject({
      reason: "worker-failed",
      message: "fish: no fish",
      handlerCode: "E_FISH",
      data: { depth: 3 },
    });
  });

  test("has the message of what a handler threw only where that is exposed, or a ServiceError", () => {
    const error = Object.assign(new Error("password is 1234"), { code: "E_FISH" });
    const hidden = "The worker's handler failed (E_FISH).";
    expect(shown(error)).toBe(`shoal.error|worker-failed|${hidden}|{"code":"E_FISH"}`);
    const meant = new ServiceError("worker-failed", "fish", "no fish today", { code: "E_NONE" });
    expect(shown(meant)).toBe('shoal.error|worker-failed|no fish today|{"code":"E_NONE"}');
    const refused = failureReply(requestFailure(new Error("not JSON"))).map(String);
    expect([refused[1], refused[2]]).toEqual(["invalid-request", expect.stringContaining("not JSON")]);
    const cause = Object.assign(new RangeError("A depth has 4 bytes"), { code: "E_DEPTH" });
    const wrapped = failureReply(requestFailure(new InvalidMessageError("The frame is no depth", { cause })));
    expect(String(wrapped[2])).toContain("A depth has 4 bytes");
    expect(String(wrapped[3])).toBe('{"code":"E_DEPTH"}');
    const refusal = refuse("no-method", "fish", "no method swim");
    expect(shown(refusal)).toBe("shoal.error|no-method|no method swim");
  });

  test("has 1,024 characters at most of what a handler or a codec threw", () => {
    const long = exposed("x".repeat(2_000));
    for (const { text } of [handlerFailure(long), requestFailure(long)]) expect(text).toHaveLength(1_024);
  });

  test("leaves out a code and data that JSON cannot hold, or that are too large", () => {
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    for (const data of [cycle, 1n, "x".repeat(65_536)])
      expect(handlerErrorReply(exposed("no", { code: "E", data }))).toHaveLength(3);
    expect(handlerErrorReply(exposed("no", { code: 7 }))).toHaveLength(3);
  });

  test("with malformed details is an error all the same", () => {
    for (const details of ["", "{", "null", "7", '{"code":7}', "x".repeat(65_537)]) {
      const error = parseErrorReply(frames("shoal.error", "no-such-reason", "no", details), "fish");
      expect(error).toMatchObject({ reason: "worker-failed" });
      expect([error?.handlerCode, error?.data]).toEqual([undefined, undefined]);
    }
  });

  test("is nothing else", () => {
    for (const other of [
      frames(),
      frames("shoal.error", "overloaded"),
      frames("shoal.errors", "overloaded", "full"),
      frames("shoal.error", "overloaded", "full", "{}", ""),
    ])
      expect(parseErrorReply(other, "fish")).toBeUndefined();
  });
});
