import { describe, expect, it } from "vitest";
import { UsageError } from "../../src/cli/failure.js";
import { isNatsUrl, natsStoreOptions } from "../../src/cli/nats-url.js";

describe("a store in NATS as a URL", () => {
  it("has servers, a stream, who asks, and options", () => {
    expect(natsStoreOptions("nats://a:4222")).toEqual({ servers: "a:4222" });
    expect(natsStoreOptions("nats://a:4222,[::1]:4223/shop?replicas=3&reads=leader")).toEqual({
      servers: "a:4222,[::1]:4223",
      stream: "shop",
      replicas: 3,
      reads: "leader",
    });
    expect(natsStoreOptions("nats://app:p%40ss@a/shop?ca=/etc/ca.pem&maxBytes=2000000")).toEqual({
      servers: "a",
      stream: "shop",
      maxBytes: 2_000_000,
      connection: { user: "app", pass: "p@ss", tls: { caFile: "/etc/ca.pem" } },
    });
    expect(natsStoreOptions("nats://token@a")).toEqual({ servers: "a", connection: { token: "token" } });
  });

  it.each([
    "nats://",
    "nats://app:secret@",
    "nats://a/b/c",
    "nats://app:secret@a?user=b",
    "nats://%zz:secret@a",
  ])("refuses %s without repeating a password", (url) => {
    expect(isNatsUrl(url)).toBe(true);
    expect(() => natsStoreOptions(url)).toThrow(UsageError);
    expect(() => natsStoreOptions(url)).not.toThrow(/secret/);
  });

  it("is not a folder or another store", () => {
    for (const store of ["nats", "/var/nats", "postgres://nats://", "memory"])
      expect(isNatsUrl(store)).toBe(false);
  });
});
