/** The key of a bus, derived from a password (docs/spec/cluster.md, Passwords). */
import { passwordKey } from "../../core/password.js";
import { encodeZ85 } from "../../core/z85.js";

/** What is before the bus's name in the salt: one password gives another key on each bus. */
const LABEL = "shoal cluster password 1 ";

/**
 * The key of a bus, as 40 characters of Z85. It blocks for some 0.2 s the first time.
 *
 * @param password 8 to 1,024 bytes of UTF-8, as they are
 * @param bus the bus's name
 * @throws InvalidArgumentError `EINVAL` for a password that is too short or too long
 */
export function keyOfPassword(password: string, bus: string): string {
  return encodeZ85(passwordKey(password, LABEL + bus));
}
