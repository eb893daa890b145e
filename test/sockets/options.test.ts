import { describe, expect, test } from "vitest";
import { hasOption, OPTIONS, type OptionName, type OptionSpec } from "../../src/core/option-table.js";
import { SocketType, type SocketTypeName } from "../../src/core/socket-type.js";
import { checkOption, resolveOptions } from "../../src/sockets/check-options.js";
import { thrown } from "../contract/support/wait.js";

const TYPES = Object.keys(SocketType) as SocketTypeName[];
const ROWS = Object.entries(OPTIONS) as [string, OptionSpec][];
const KEY = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";

/** A socket type that has the option. */
function typeWith(spec: OptionSpec): SocketTypeName {
  return spec.on?.[0] ?? "Pair";
}

/** Values that fit an option, each different from its default where it can be. */
function goodValues(spec: OptionSpec): unknown[] {
  switch (spec.kind) {
    case "boolean":
      return [true, false];
    case "integer":
      return [spec.min, spec.max];
    case "string":
      return [null, "", "text", "x".repeat(spec.max ?? 1_024), "é".repeat((spec.max ?? 1_024) >> 1)];
    case "key":
      return [null, KEY, new Uint8Array(32), Buffer.alloc(32, 7)];
    case "bytes":
      return [null, "name", Buffer.from("name"), "x".repeat(spec.max ?? 0), new Uint8Array([1, 0, 255])];
    case "choice":
      return [...(spec.choices ?? [])];
  }
}

/** Values that do not fit an option: every other type, and what is just out of range. */
function badValues(spec: OptionSpec): unknown[] {
  const never = [Symbol("s"), () => 1, {}, ["a"], 1n, Number.NaN];
  switch (spec.kind) {
    case "boolean":
      return [...never, 0, 1, "true", null];
    case "integer":
      return [
        ...never,
        Number(spec.min) - 1,
        Number(spec.max) > Number.MAX_SAFE_INTEGER ? 2 * Number(spec.max) : Number(spec.max) + 1,
        0.5,
        Number.POSITIVE_INFINITY,
        "5",
        null,
        true,
        new Date(5),
      ];
    case "string":
      return [...never, 5, true, Buffer.from("x"), "a\0b", "x".repeat(Number(spec.max) + 1)];
    case "key":
      return [...never, 5, "", KEY.slice(1), `${KEY}0`, `${KEY.slice(1)}~`, "#".repeat(40), Buffer.alloc(31)];
    case "bytes":
      return [
        ...never,
        5,
        true,
        "x".repeat(Number(spec.max) + 1),
        Buffer.alloc(Number(spec.max) + 1, 1),
        new ArrayBuffer(2),
      ];
    case "choice":
      return [...never, "", "allsubs", 0, true];
  }
}

const refused = (message: unknown = expect.any(String)) =>
  expect.objectContaining({ code: "EINVAL", message });

describe.each(ROWS)("option %s", (name, spec) => {
  const type = typeWith(spec);

  test("takes what fits it", () => {
    for (const value of goodValues(spec)) {
      const resolved = resolveOptions(type, { [name]: value })[name as OptionName];
      // Bytes are copied: the program may change its own later.
      if (value instanceof Uint8Array) {
        expect(resolved).not.toBe(value);
        expect(Buffer.from(value).equals(resolved as Buffer)).toBe(true);
      } else {
        expect(resolved).toBe(value);
      }
      expect(() => checkOption(type, name, value)).not.toThrow();
    }
  });

  test("refuses what does not, naming itself and what is expected", () => {
    for (const value of badValues(spec)) {
      const expected = refused(
        expect.stringMatching(new RegExp(`^Option ${name} of ${type} must be .+; got `)),
      );
      expect(() => resolveOptions(type, { [name]: value }), String(typeof value)).toThrow(expected);
      expect(() => checkOption(type, name, value)).toThrow(expected);
    }
  });

  test("counts undefined as absent", () => {
    expect(resolveOptions(type, { [name]: undefined })).toEqual(resolveOptions(type, {}));
  });

  test("is refused on sockets that lack it, saying which have it", () => {
    for (const other of TYPES) {
      if (hasOption(other, name)) continue;
      expect(spec.on).not.toContain(other);
      const expected = refused(`${other} has no option ${name}; ${spec.on?.join(", ")} have it`);
      expect(() => resolveOptions(other, { [name]: spec.default })).toThrow(expected);
    }
  });
});

const UNKNOWN = ["sendHighWatermark", "", "__proto__", "constructor", "toString", "engine", "0"];
test.each(UNKNOWN)("%j is no option of any socket", (name) => {
  const given = Object.create(null) as Record<string, unknown>;
  Object.defineProperty(given, name, { value: 1, enumerable: true });
  for (const type of TYPES) {
    expect(() => resolveOptions(type, given)).toThrow(
      refused(expect.stringMatching(`^${type} has no option ${name}(; did you mean \\w+\\?)?$`)),
    );
  }
});

test("a routing id does not begin with a zero byte", () => {
  for (const routingId of ["\0a", Buffer.from([0, 1])])
    expect(() => resolveOptions("Dealer", { routingId })).toThrow(
      refused(expect.stringMatching(/zero byte; got ("\\u0000a"|2 bytes)$/)),
    );
});

test.each([
  ["curveSecretKey", "S3cret-".repeat(5)],
  ["curveSecretKey", Buffer.from("S3cret-S3cret")],
  ["plainPassword", `S3cret\0`],
  ["plainPassword", "S3cret".repeat(50)],
  ["plainPassword", { password: "S3cret" }],
])("an error about %s quotes none of it", (name, value) => {
  const { message, code } = thrown(() => resolveOptions("Push", { [name]: value }));
  expect(code).toBe("EINVAL");
  expect(message).not.toContain("S3cret");
  expect(message).not.toContain("83");
});

test.each([
  ["socksProxy", 1_024],
  ["plainUsername", 255],
] as const)("an error about the text %s has its bound, and the size of what was given", (name, max) => {
  const bound = `must be a string of at most ${max} bytes without a zero byte, or null; got`;
  expect(() => resolveOptions("Push", { [name]: "a\0b" })).toThrow(`${bound} "a\\u0000b"`);
  expect(() => resolveOptions("Push", { [name]: "ä".repeat(600) })).toThrow(/; got "ä{60}…" of 1200 bytes$/);
  expect(() => resolveOptions("Push", { [name]: 7 })).toThrow(`${bound} 7`);
});

test("a list of a thousand origins fits", () => {
  const wsOrigins = Array.from({ length: 1_000 }, (_, i) => `https://page-${i}.example.com`).join(" ");
  expect(resolveOptions("Pull", { wsOrigins }).wsOrigins).toBe(wsOrigins);
});
