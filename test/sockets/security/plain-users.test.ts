/** Who gets in with a user name and a password. */
import { expect, test } from "vitest";
import { plainUsers } from "../../../src/sockets/security/plain-users.js";

const peer = { mechanism: "PLAIN", address: "", domain: "", username: "ann", password: "pass" };

test("needs a user, the user's own password, and the mechanism", async () => {
  const judge = plainUsers({ ann: "pass", bob: "word" });
  expect(await judge(peer)).toBe(true);
  expect(await judge({ ...peer, username: "bob", password: "word" })).toBe(true);
  expect(await judge({ ...peer, password: "word" })).toBe(false);
  expect(await judge({ ...peer, password: "pass2" })).toBe(false);
  expect(await judge({ ...peer, password: "" })).toBe(false);
  expect(await judge({ ...peer, username: "an" })).toBe(false);
  expect(await judge({ ...peer, username: "nobody", password: "" })).toBe(false);
  expect(await judge({ ...peer, mechanism: "NULL" })).toBe(false);
  expect(await judge({ mechanism: "PLAIN", address: "", domain: "" })).toBe(false);
});

test("names that objects have by themselves are no users, and can be", async () => {
  expect(await plainUsers({})({ ...peer, username: "constructor", password: "" })).toBe(false);
  const judge = plainUsers({ ["__proto__"]: "pass" });
  expect(await judge({ ...peer, username: "__proto__" })).toBe(true);
});
