/** Replaces core/schemes/http-server.ts: a page has no HTTP servers. */
import { NotSupportedError } from "../errors.js";

export function checkServer(): never {
  throw new NotSupportedError("A page has no HTTP servers to bind to");
}
