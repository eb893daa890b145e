/** Keys from passwords (docs/spec/cluster.md, Passwords). */
import { passwordKey } from "../../core/password.js";
import { encodeZ85 } from "../../core/z85.js";

/** With the cluster name it is the salt: one password gives each cluster another key. */
const LABEL = "shoal cluster password 1 ";

/**
 * A cluster's key, 40 characters of Z85. The first call for a password blocks for about 0.2 s.
 *
 * @param password 8 to 1,024 bytes of UTF-8
 * @throws InvalidArgumentError `EINVAL` for a password that is too short or too long
 */
export function keyOfPassword(password: string, bus: string): string {
  return encodeZ85(passwordKey(password, LABEL + bus));
}
