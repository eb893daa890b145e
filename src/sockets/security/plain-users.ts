/** Accepts peers with a known user name and password. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Authenticate } from "../socket-options.js";

/**
 * Hashes give all passwords the same length, and unknown names also cost one comparison. Timing thus reveals neither
 * names nor the closeness of a guess.
 */
export function plainUsers(passwords: Readonly<Record<string, string>>): Authenticate {
  const users = new Map(Object.entries(passwords).map(([user, password]) => [user, digest(password)]));
  const nobody = digest("");
  return ({ mechanism, username, password }) => {
    const expected = users.get(username ?? "");
    const right = timingSafeEqual(digest(password ?? ""), expected ?? nobody);
    return mechanism === "PLAIN" && expected !== undefined && right;
  };
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
