/** The list of a connection manager and its status. No sockets. */
import { expect, it } from "vitest";
import { MAX_KEPT_ADDRESSES } from "../../../src/cluster/bounds.js";
import { ConnectionList, type StreamState, withPort } from "../../../src/cluster/connections/rules.js";

const CONNECTED: StreamState = {
  state: "connected",
  since: 5,
  attempts: 0,
  error: undefined,
  peer: "10.0.0.2:1",
};
const NAMES: Readonly<Record<string, readonly string[]>> = {
  "db:1": ["10.0.0.2:1", "10.0.0.3:1"],
  "gone:1": [],
};
const resolve = (address: string): readonly string[] => NAMES[address] ?? [address];

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

it("a list is replaced as a whole, and says what is new and what is gone", () => {
  const list = new ConnectionList();
  expect(list.set(["a:1", "b:1", "a:1"], 1)).toEqual([]);
  expect(list.set(["c:1", "b:1"], 2)).toEqual(["a:1"]);
  expect(list.addresses).toEqual(["c:1", "b:1"]);
  const many = Array.from({ length: MAX_KEPT_ADDRESSES + 1 }, (_, at) => `a:${at}`);
  expect(() => list.set(many, 3)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  expect(list.addresses).toEqual(["c:1", "b:1"]);
  expect(list.set([], 4)).toEqual(["c:1", "b:1"]);
});

it("a name has a row for each of its addresses, and one that says so where it has none", () => {
  const list = new ConnectionList();
  list.set(["db:1", "gone:1"], 7);
  expect([...list.wanted(resolve)]).toEqual(["10.0.0.2:1", "10.0.0.3:1"]);
  expect(list.status(resolve, () => CONNECTED)).toEqual([
    { address: "db:1", resolved: "10.0.0.2:1", ...CONNECTED },
    { address: "db:1", resolved: "10.0.0.3:1", ...CONNECTED },
    {
      address: "gone:1",
      resolved: undefined,
      state: "broken",
      since: 7,
      attempts: 0,
      error: { code: "ENOTFOUND", message: "the name has no address" },
      peer: undefined,
    },
  ]);
});
