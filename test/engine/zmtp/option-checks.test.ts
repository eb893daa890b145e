import { afterEach, expect, test, vi } from "vitest";

afterEach(() => {
  vi.restoreAllMocks();
  vi.resetModules();
});

test("an option that only tunes the system's sockets is taken, with one warning a process", async () => {
  vi.resetModules();
  const { assertSupported } = await import("../../../src/engine/zmtp/options.js");
  const warn = vi.spyOn(process, "emitWarning").mockReturnValue();
  for (const value of [-1, 5, 6]) assertSupported("tcpKeepaliveCount", value);
  assertSupported("typeOfService", 0);
  assertSupported("interface", null);
  assertSupported("interface", "eth0");
  expect(warn.mock.calls.map(([text]) => String(text).split(" has ")[0])).toEqual([
    "The option tcpKeepaliveCount",
    "The option interface",
  ]);
});

test("an option that decides who connects, and through what, is refused", async () => {
  const { assertSupported } = await import("../../../src/engine/zmtp/options.js");
  expect(() => assertSupported("socksProxy", "127.0.0.1:1080")).toThrow(
    expect.objectContaining({ code: "NOT_SUPPORTED" }),
  );
  assertSupported("socksProxy", null);
});
