/** Keys from passwords (docs/spec/cluster.md, Passwords). */
import { passwordKey } from "../../core/password.js";
import { encodeZ85 } from "../../core/z85.js";

/**
 * A cluster's key, 40 characters of Z85. The first call for a password blocks for about 0.2 s.
 *
 * @param password 8 to 1,024 bytes of UTF-8
 * @throws InvalidArgumentError `EINVAL` for a password that is too short or too long
 */
export function keyOfPassword(password: string, namespace: string): string {
  // The cluster name is in the salt: one password gives each cluster another key.
  return encodeZ85(passwordKey(password, `shoal cluster password 1 ${namespace}`));
}
