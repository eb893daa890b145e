import { networkInterfaces } from "node:os";
import { describe, expect, test } from "vitest";
import { bindAddress } from "../../../../src/engine/zmtp/transport/tcp.js";

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
      const own = addresses.filter((each) => each.family === "IPv6");
      const [link] = own.map(({ address }) => `${address}%${name}`);
      const v6 = own.find(({ scopeid }) => scopeid === 0)?.address ?? link;
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
