import { afterEach, describe, expect, test, vi } from "vitest";
import { ENGINE_NAMES, selectEngine } from "../../src/engine/select.js";
import { Context } from "../../src/sockets/context.js";
import { FakeEngine } from "../support/fake-engine.js";

afterEach(() => void vi.unstubAllEnvs());

const bad = (message: string | RegExp) =>
  expect.objectContaining({ code: "EINVAL", message: expect.stringMatching(message) });

describe("selectEngine", () => {
  test("gives an engine of the program's own as it is, whatever the environment says", () => {
    vi.stubEnv("SHOAL_ENGINE", "nonsense");
    const engine = new FakeEngine();
    expect(selectEngine(engine)).toBe(engine);
  });

  test("finds an engine by its name, the same each time", () => {
    expect(ENGINE_NAMES).toContain("libzmq");
    expect(selectEngine("libzmq").name).toBe("libzmq");
    expect(selectEngine("libzmq")).toBe(selectEngine("libzmq"));
  });

  test("asks the environment only when nobody chose", () => {
    vi.stubEnv("SHOAL_ENGINE", "nonsense");
    expect(selectEngine("libzmq").name).toBe("libzmq");
    expect(() => selectEngine(undefined)).toThrow(
      bad(/^SHOAL_ENGINE must be one of .*libzmq.*; got "nonsense"$/),
    );
    vi.stubEnv("SHOAL_ENGINE", "libzmq");
    expect(selectEngine(undefined).name).toBe("libzmq");
  });

  test.each(["", undefined])("takes the default where the environment says %j", (value) => {
    vi.stubEnv("SHOAL_ENGINE", value);
    expect(ENGINE_NAMES).toContain(selectEngine(undefined).name);
  });

  test.each([
    ["zmq", '"zmq"'],
    ["", '""'],
    ["constructor", '"constructor"'],
    ["LIBZMQ", '"LIBZMQ"'],
    [null, "null"],
    [5, "number"],
    [{}, "object"],
    [{ createContext: true }, "object"],
  ])("refuses %j and says what there is", (choice, got) => {
    expect(() => selectEngine(choice as string)).toThrow(
      bad(`^engine must be one of .*libzmq.*; got ${got}$`),
    );
  });
});

describe("a context", () => {
  test("takes the engine's resources with the first use, and once; what is set before and after reaches them", () => {
    const engine = new FakeEngine();
    const context = new Context({ engine, ioThreads: 3 });
    context.blocky = false;
    expect([context.engine, context.ioThreads, context.blocky]).toEqual(["fake", 3, false]);
    expect(engine.contexts).toEqual([]);
    for (let i = 0; i < 2; i++) context.open();
    expect(engine.contexts).toEqual([{ options: { ioThreads: 3, blocky: false }, shared: false }]);
    context.ioThreads = 2;
    expect([context.ioThreads, context.blocky]).toEqual([2, false]);
  });

  test.each([
    [{ ioThread: 1 }, "Context has no option ioThread; did you mean ioThreads?"],
    [{ ioThreads: "1" }, "ioThreads must be a whole number"],
    [{ maxSockets: 0.5 }, "maxSockets must be a whole number"],
    [{ blocky: 1 }, "blocky must be true or false"],
    [{ ipv6: "yes" }, "ipv6 must be true or false"],
  ])("refuses %j", (options, message) => {
    expect(() => new Context(options as object)).toThrow(bad(message));
  });
});
