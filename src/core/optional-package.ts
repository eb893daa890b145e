/** Optional packages, loaded on demand. */

import { NotSupportedError } from "./errors.js";
import { requireHere } from "./require-here.js";

/** @param purpose subject of the error's sentence @throws NotSupportedError `ERR_PACKAGE_UNAVAILABLE` */
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
  // A missing dependency of the package gives the same code.
  if (code === "MODULE_NOT_FOUND" && String(message).includes(`'${name}'`))
    return `is not installed: npm install ${name}`;
  const reason = String(message ?? cause).split("\n", 1)[0];
  return `does not load on this machine (${reason}); npm install ${name} installs it again`;
}
