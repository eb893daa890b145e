/** The byte stream transports there are: a new one is its own file, and a line here. */
import { ipc } from "./ipc.js";
import { tcp } from "./tcp.js";
import type { Transport } from "./transport.js";

/** By scheme. */
export const TRANSPORTS: ReadonlyMap<string, Transport> = new Map([
  [tcp.scheme, tcp],
  [ipc.scheme, ipc],
]);

/** What an engine stands on: the machine and its process, or a simulated one (src/testing). */
export interface Platform {
  /** The byte stream transports, by scheme. */
  readonly transports: ReadonlyMap<string, Transport>;
  /** What is unsent when the process ends is still sent (lifetime.ts). */
  readonly outlastsProgram: boolean;
}

/** This machine. */
export const MACHINE: Platform = { transports: TRANSPORTS, outlastsProgram: true };

/** The part of an endpoint before `://`. */
export function schemeOf(endpoint: string): string {
  return endpoint.slice(0, endpoint.indexOf(":"));
}
