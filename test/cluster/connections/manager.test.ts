/** Addresses of a connection manager. No sockets. */
import { expect, it } from "vitest";
import { withPort } from "../../../src/cluster/connections/manager.js";

it("ports are completed where there are none, of IPv6 addresses too", () => {
  expect(
    ["10.0.0.1", "10.0.0.1:8", "db", "db:8", "::1", "[::1]", "[::1]:8", "fe80::1%eth0"].map((each) =>
      withPort(each, 9),
    ),
  ).toEqual([
    "10.0.0.1:9",
    "10.0.0.1:8",
    "db:9",
    "db:8",
    "[::1]:9",
    "[::1]:9",
    "[::1]:8",
    "[fe80::1%eth0]:9",
  ]);
});
