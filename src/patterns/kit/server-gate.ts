/**
 * What stands before a server that does not always serve, such as one of a pair
 * (../binary-star/gate.ts). The server asks it about each message of a client,
 * and before each answer to one.
 */
import type { OptionSpec } from "./options.js";

/** See the head of this file. */
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

/** The option `gate` of a server. */
export function serverGate(): OptionSpec<ServerGate | undefined> {
  return {
    default: undefined,
    expected: "a BinaryStarGate, or an object with its admit, isServing and passTo",
    accepts: (value) => {
      if (typeof value !== "object" || value === null) return false;
      const { admit, isServing, passTo } = value as Partial<ServerGate>;
      return [admit, isServing, passTo].every((method) => typeof method === "function");
    },
  };
}
