/** Gates of a server that serves only at times (../binary-star/gate.ts). */
import type { OptionSpec } from "./options.js";

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

export function serverGate(): OptionSpec<ServerGate | undefined> {
  return gateSpec<ServerGate>(["admit", "isServing", "passTo"]);
}

export function publisherGate(): OptionSpec<PublisherGate | undefined> {
  return gateSpec<PublisherGate>(["isServing", "vote", "onServing"]);
}

function gateSpec<G>(methods: readonly (keyof G & string)[]): OptionSpec<G | undefined> {
  return {
    default: undefined,
    expected: `a BinaryStarGate, or an object with its ${methods.slice(0, -1).join(", ")} and ${methods.at(-1)}`,
    accepts: (value) =>
      typeof value === "object" &&
      value !== null &&
      methods.every((method) => typeof (value as Partial<G>)[method] === "function"),
  };
}
