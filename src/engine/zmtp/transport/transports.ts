/** The byte stream transports there are: a new one is its own file, and a line here. */
import { ipc } from "./ipc.js";
import { tcp } from "./tcp.js";
import type { Transport } from "./transport.js";

/** By scheme. */
export const TRANSPORTS: ReadonlyMap<string, Transport> = new Map([
  [tcp.scheme, tcp],
  [ipc.scheme, ipc],
]);

/** The part of an endpoint before `://`. */
export function schemeOf(endpoint: string): string {
  return endpoint.slice(0, endpoint.indexOf(":"));
}
