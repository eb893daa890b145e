/** Addresses in a variable of the environment. */
import { afterEach, expect, it } from "vitest";
import { parseDiscovery } from "../../../src/cluster/discovery/parse.js";

const SELF = { id: "0".repeat(32), name: "a@host", group: "default", address: "10.0.0.1:7946" };
afterEach(() => {
  delete process.env.SHOAL_TEST_NODES;
});

it("has the addresses of the variable, and refuses one that is not set", async () => {
  process.env.SHOAL_TEST_NODES = "10.0.0.5:7946,db.example:1";
  const source = parseDiscovery("env:SHOAL_TEST_NODES");
  const lists = source.discover(SELF, new AbortController().signal)[Symbol.asyncIterator]();
  expect((await lists.next()).value).toEqual(["10.0.0.5:7946", "db.example:1"]);
  expect(() => parseDiscovery("env:SHOAL_TEST_NONE")).toThrow("no variable SHOAL_TEST_NONE");
});
