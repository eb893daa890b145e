import { expect, test } from "vitest";
import {
  anything,
  boolean,
  bytes,
  checkOptions,
  choice,
  func,
  integer,
  object,
  text,
} from "../../src/kit/options.js";

const OPTIONS = {
  timeout: integer({ default: 100, min: -1 }),
  retries: integer(),
  maxBytes: bytes({ default: 5 }),
  wait: boolean(true),
  protocol: choice(["auto", "0.1"], "auto"),
  name: text(),
  handler: func<() => void>(),
  socketOptions: object<{ linger?: number }>(),
  codec: anything<string>(),
};

const check = (given: unknown): unknown => checkOptions("Thing", OPTIONS, given as object);

test("what was given stands over the defaults, undefined counts as not given", () => {
  const handler = (): void => undefined;
  const settings = checkOptions("Thing", OPTIONS, {
    timeout: -1,
    wait: undefined,
    maxBytes: 2 ** 40,
    handler,
  });
  const timeout: number = settings.timeout;
  const protocol: "auto" | "0.1" = settings.protocol;
  expect([timeout, protocol, settings.wait, settings.retries]).toEqual([-1, "auto", true, undefined]);
  expect(settings.maxBytes).toBe(2 ** 40);
  expect(settings.handler).toBe(handler);
});

test.for([
  [{ timout: 1 }, "Thing has no option timout; did you mean timeout?"],
  [{ x: undefined }, /^Thing has no option x; known are timeout, /],
  [{ toString: 1 }, /^Thing has no option toString/],
  [{ timeout: -2 }, "Option timeout of Thing must be a whole number from -1 to 2147483647; got -2"],
  [{ timeout: 2 ** 31 }, /got 2147483648$/],
  [{ retries: 0 }, "Option retries of Thing must be a whole number from 1 to 2147483647; got 0"],
  [{ timeout: "1" }, 'Option timeout of Thing must be a whole number from -1 to 2147483647; got "1"'],
  [{ maxBytes: 0.5 }, /^Option maxBytes of Thing must be a whole number from 1 to 9007199254740991; got 0.5/],
  [{ wait: "yes" }, 'Option wait of Thing must be true or false; got "yes"'],
  [{ protocol: "0.3" }, 'Option protocol of Thing must be "auto" or "0.1"; got "0.3"'],
  [{ name: "" }, 'Option name of Thing must be a text that is not empty; got ""'],
  [{ handler: {} }, "Option handler of Thing must be a function; got an object"],
  [{ socketOptions: [] }, "Option socketOptions of Thing must be an object; got an array"],
  [null, "The options of Thing must be an object; got null"],
  [7, "The options of Thing must be an object; got 7"],
] as const)("%j is refused", ([given, message]) => {
  expect(() => check(given)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  expect(() => check(given)).toThrow(message);
});
