/** Loads a package that shoal does not bring along, when it is needed, and says how to install it when it is not there. */

import { NotSupportedError } from "./errors.js";
import { requireHere } from "./require-here.js";

/**
 * @param purpose what needs it, as the subject of a sentence
 * @throws NotSupportedError `ERR_PACKAGE_UNAVAILABLE` when the package is not installed or does not load on this machine
 */
export function loadOptional(
  name: string,
  purpose: string,
  require: (id: string) => unknown = requireHere(),
): unknown {
  try {
    return require(name);
  } catch (cause) {
    throw new NotSupportedError(
      `${purpose} needs the npm package ${name}, which ${reasonFor(name, cause)}`,
      "ERR_PACKAGE_UNAVAILABLE",
      { cause },
    );
  }
}

function reasonFor(name: string, cause: unknown): string {
  const { code, message } = cause as { code?: unknown; message?: unknown };
  // The same code comes when the package is there and one of its own is not.
  if (code === "MODULE_NOT_FOUND" && String(message).includes(`'${name}'`))
    return `is not installed: npm install ${name}`;
  const reason = String(message ?? cause).split("\n", 1)[0];
  return `does not load on this machine (${reason}); npm install ${name} installs it again`;
}
