import type { Authenticate } from "../socket-options.js";

/**
 * Accepts peers with a known user name and password. Hashes equalize lengths, and unknown names cost a comparison too,
 * so timing reveals nothing.
 */
export function plainUsers(passwords: Readonly<Record<string, string>>): Authenticate {
  const users = new Map(Object.entries(passwords).map(([user, password]) => [user, digest(password)]));
  const nobody = digest("");
  return ({ mechanism, username, password }) => {
    const expected = users.get(username ?? "");
    const right = process
      .getBuiltinModule("node:crypto")
      .timingSafeEqual(digest(password ?? ""), expected ?? nobody);
    return mechanism === "PLAIN" && expected !== undefined && right;
  };
}

function digest(text: string): Buffer {
  return process.getBuiltinModule("node:crypto").createHash("sha256").update(text).digest();
}
