import { InvalidArgumentError } from "./errors.js";

/**
 * Node.js ignores an unreadable certificate and those after it, and refuses their peers.
 *
 * @param what names the option
 * @throws InvalidArgumentError `EINVAL`
 */
export function checkAuthorities(what: string, pem: string): void {
  const found = pem.match(
    /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----[\s\S]*?(?:-----END (?:X509 |TRUSTED )?CERTIFICATE-----|$)/g,
  );
  if (found === null) throw new InvalidArgumentError(`${what} has no certificate in PEM`);
  const { X509Certificate } = process.getBuiltinModule("node:crypto");
  for (const [at, each] of found.entries()) {
    try {
      new X509Certificate(each);
    } catch {
      const which = found.length === 1 ? "" : `, number ${at + 1} of ${found.length},`;
      throw new InvalidArgumentError(`${what} has a certificate${which} that cannot be read`);
    }
  }
}
