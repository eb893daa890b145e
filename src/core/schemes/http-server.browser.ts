/** Replaces core/schemes/http-server.ts: a page has no HTTP servers. */
import { NotSupportedError } from "../errors.js";

export function nameOfServer(): never {
  throw new NotSupportedError("A page has no HTTP servers to bind to");
}
