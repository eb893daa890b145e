/** Gates of a server that serves only at times (../binary-star/gate.ts). */
import { methods, type OptionSpec } from "./options.js";

/** Gate of a request server. */
export interface ServerGate {
  /**
   * @param votes whether it is a request: only requests count as client votes
   * @returns whether to serve it now; if not, the gate keeps or drops it
   */
  admit(message: Buffer[], votes: boolean): boolean;
  /** Whether answers may be sent. */
  isServing(): boolean;
  /** @param serve receives kept messages that are now to be served */
  passTo(serve: (message: Buffer[]) => void): void;
}

/** Gate of a publisher. It keeps nothing: subscribers of both servers get what the active one publishes. */
export interface PublisherGate {
  isServing(): boolean;
  /**
   * Reports a connected subscriber, a client vote.
   * @returns whether to serve now
   */
  vote(): boolean;
  /** @param listener called each time this server becomes active */
  onServing(listener: () => void): void;
}

const EXPECTED = "a BinaryStarGate, or an object";

export function serverGate(): OptionSpec<ServerGate | undefined> {
  return methods<ServerGate>(EXPECTED, ["admit", "isServing", "passTo"]);
}

export function publisherGate(): OptionSpec<PublisherGate | undefined> {
  return methods<PublisherGate>(EXPECTED, ["isServing", "vote", "onServing"]);
}
