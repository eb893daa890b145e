/**
 * What stands before a server that does not always serve, such as one of a pair
 * (../binary-star/gate.ts): for a server that answers requests, and for a publisher.
 */
import type { OptionSpec } from "./options.js";

/** Before a server that answers: it asks about each message of a client, and before each answer to one. */
export interface ServerGate {
  /**
   * A client's message is there.
   *
   * @param votes whether it is a request: only these are signs that clients look for a server
   * @returns whether to serve it now; if not, the gate has it, to keep or to drop
   */
  admit(message: Buffer[], votes: boolean): boolean;
  /** Whether answers may leave at this moment. */
  isServing(): boolean;
  /** Where messages go that were kept and are to be served now. For the one server behind the gate. */
  passTo(serve: (message: Buffer[]) => void): void;
}

/**
 * Before a publisher, which has nothing to keep for clients: its subscribers are connected to both servers of a pair, and
 * get what the one that serves publishes.
 */
export interface PublisherGate {
  /** Whether messages may be published at this moment. */
  isServing(): boolean;
  /** There is something for a connected subscriber: a sign that clients look for a server. @returns whether to serve now */
  vote(): boolean;
  /** @param listener is called each time this server begins to serve */
  onServing(listener: () => void): void;
}

/** The option `gate` of a server. */
export function serverGate(): OptionSpec<ServerGate | undefined> {
  return gateSpec<ServerGate>(["admit", "isServing", "passTo"]);
}

/** The option `gate` of a publisher. */
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
