/** Nothing is bound to HTTP servers; stands in for core/schemes/http-server.ts. */
import { NotSupportedError } from "../../core/errors.js";

export function nameOfServer(): never {
  throw new NotSupportedError("A page has no HTTP servers to bind to");
}
