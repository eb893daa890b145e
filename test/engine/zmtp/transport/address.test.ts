import { networkInterfaces } from "node:os";
import { describe, expect, test } from "vitest";
import { bindAddress, formatTcp, parseTcp } from "../../../../src/engine/zmtp/transport/address.js";

test.each([
  ["tcp://127.0.0.1:5555", "127.0.0.1", 5555, undefined],
  ["tcp://*:*", "*", 0, undefined],
  ["tcp://*:0", "*", 0, undefined],
  ["tcp://localhost:1", "localhost", 1, undefined],
  ["tcp://example.org:65535", "example.org", 65535, undefined],
  ["tcp://[::1]:5555", "::1", 5555, undefined],
  ["tcp://[::]:*", "::", 0, undefined],
  ["tcp://[fe80::1%eth0]:5555", "fe80::1%eth0", 5555, undefined],
  ["tcp://eth0:5555", "eth0", 5555, undefined],
  ["tcp://10.0.0.1:0;host:5555", "host", 5555, { host: "10.0.0.1", port: 0 }],
  ["tcp://10.0.0.1:4000;host:5555", "host", 5555, { host: "10.0.0.1", port: 4000 }],
  ["tcp://10.0.0.1;host:5555", "host", 5555, { host: "10.0.0.1", port: 0 }],
  ["tcp://*:*;host:5555", "host", 5555, { host: "*", port: 0 }],
  ["tcp://[::1]:0;[::2]:5555", "::2", 5555, { host: "::1", port: 0 }],
  ["tcp://[::1];[::2]:5555", "::2", 5555, { host: "::1", port: 0 }],
])("%s", (endpoint, host, port, source) => {
  expect(parseTcp(endpoint)).toEqual({ host, port, source });
});

test.each([
  ["127.0.0.1", 5555, "tcp://127.0.0.1:5555"],
  ["::1", 5555, "tcp://[::1]:5555"],
  ["::", 1, "tcp://[::]:1"],
  ["::ffff:127.0.0.1", 5555, "tcp://127.0.0.1:5555"],
  ["fe80::1%eth0", 5555, "tcp://[fe80::1%eth0]:5555"],
])("%s with port %i is written %s", (host, port, endpoint) => {
  expect(formatTcp(host, port)).toBe(endpoint);
});

describe("what a host binds to", () => {
  test.each([
    ["*", false, "0.0.0.0"],
    ["*", true, "::"],
    ["localhost", false, "127.0.0.1"],
    ["localhost", true, "::1"],
    ["127.0.0.2", false, "127.0.0.2"],
    ["::1", true, "::1"],
  ])("%s (ipv6 %s): %s", (host, ipv6, address) => {
    expect(bindAddress(host, ipv6, "tcp://x:1")).toBe(address);
  });

  test("an interface's name stands for its address, of the family asked for if it has one", () => {
    for (const [name, addresses = []] of Object.entries(networkInterfaces())) {
      const v4 = addresses.find(({ family }) => family === "IPv4")?.address;
      const v6 = addresses.find(({ family }) => family === "IPv6")?.address;
      expect(bindAddress(name, false, "tcp://x:1")).toBe(v4 ?? v6);
      expect(bindAddress(name, true, "tcp://x:1")).toBe(v6 ?? v4);
    }
  });

  test("a name that is no interface is refused", () => {
    expect(() => bindAddress("nosuchinterface", false, "tcp://nosuchinterface:1")).toThrow(
      expect.objectContaining({ code: "ENODEV", endpoint: "tcp://nosuchinterface:1" }),
    );
  });
});
