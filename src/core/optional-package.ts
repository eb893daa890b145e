/** Loads what only a store needs, when the store is opened, and says what to install when it is not there. */
import { createRequire } from "node:module";
import { NotSupportedError } from "./errors.js";

/** @throws NotSupportedError `NOT_SUPPORTED` when the package is not installed or does not run here */
export function loadOptional(name: string, purpose: string): unknown {
  try {
    return createRequire(import.meta.url)(name);
  } catch (cause) {
    throw new NotSupportedError(
      `${purpose} needs the package ${name}; install it with "npm install ${name}"`,
      "NOT_SUPPORTED",
      { cause },
    );
  }
}
