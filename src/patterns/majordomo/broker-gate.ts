/**
 * A broker behind a gate, as one of a pair. The gate decides about clients only:
 * workers are registered at both brokers at any time, so that they are there when
 * the other one begins to serve.
 */
import type { ServerGate } from "../kit/server-gate.js";
import type { Frames } from "./messages-broker.js";
import {
  CLIENT_HEADERS,
  Dialect,
  headerOf,
  NEGOTIATION,
  RESERVED_PREFIX,
  WORKER_HEADERS,
} from "./protocol.js";
import type { BrokerCommand } from "./protocol-broker.js";

const MMI = Buffer.from(RESERVED_PREFIX);

/** @returns whether the broker takes this message now; if not, the gate has it */
export function admits(gate: ServerGate, message: Buffer[], command: BrokerCommand): boolean {
  switch (command.kind) {
    case "request":
    case "ask-all": {
      const { service } = command;
      if (!service.subarray(0, MMI.length).equals(MMI)) return gate.admit(message, true);
      if (!service.equals(NEGOTIATION)) return gate.admit(message, false); // Monitoring must not vote.
      // A client that asks whom it has before it is a client that looks for a broker.
      return command.body[0]?.equals(WORKER_HEADERS[Dialect.Shoal]) === true || gate.admit(message, true);
    }
    case "cancel":
    case "credit":
    case "client-heartbeat":
      return gate.admit(message, false);
    default:
      return true;
  }
}

/** @returns whether this may leave: what goes to a client is dropped by a broker that does not serve */
export function mayLeave(gate: ServerGate, message: Frames): boolean {
  const plain = (message[1] as Buffer).length === 0;
  if (headerOf(message[plain ? 2 : 1] as Buffer)?.role !== "client") return true;
  // The answer to a negotiation: a client's is asked only while the broker serves.
  if (plain && message[2] === CLIENT_HEADERS[Dialect.Mdp01] && NEGOTIATION.equals(message[3] as Buffer))
    return true;
  return gate.isServing();
}
