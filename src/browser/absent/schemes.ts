/** Nothing is bound to HTTP servers, and there are no datagrams; stands in for core/schemes/http-server.ts and udp.ts. */
import { NotSupportedError } from "../../core/errors.js";
import type { Scheme } from "../../core/schemes/scheme.js";

export function nameOfServer(): never {
  throw new NotSupportedError("A page has no HTTP servers to bind to");
}

export const UDP: Scheme = { name: "udp", form: "udp://HOST:PORT", reachesProcesses: true, check() {} };

export function isMulticast(): boolean {
  return false;
}
