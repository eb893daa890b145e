/** Faults of the system and of peers as shoal's errors. */

import {
  ERROR_CODES,
  type ErrorCode,
  HandshakeError,
  ProtocolError,
  type ProtocolErrorCode,
  type ShoalError,
  TransportError,
} from "../../core/errors.js";
import type { DisconnectReason, SocketEvent } from "../events.js";
import type { InStream, StreamFault } from "./codec/in-stream.js";
import type { Fault } from "./mechanism/mechanism.js";

/** @param doing an infinitive: "bind", "connect to" */
export function transportError(cause: unknown, doing: string, endpoint: string): TransportError {
  if (cause instanceof TransportError) return cause;
  const given = (cause as { code?: unknown } | null)?.code;
  const code: ErrorCode =
    typeof given === "string" && Object.hasOwn(ERROR_CODES, given) ? (given as ErrorCode) : "ERR_TRANSPORT";
  const reason =
    code === "EADDRINUSE" ? "the address is in use" : cause instanceof Error ? cause.message : String(cause);
  return new TransportError(code, `Cannot ${doing} ${endpoint}: ${reason}`, { cause, endpoint });
}

type FaultEvent = SocketEvent & { readonly error: ShoalError };

export function faultEvents(
  fault: Fault,
  endpoint: string,
  { address, remote }: { readonly address: string; readonly remote: string },
  mechanism: string,
): readonly [FaultEvent, ...FaultEvent[]] {
  const message = `Handshake at ${endpoint} failed: ${fault.message}`;
  const peer = remote === endpoint ? {} : { peer: remote };
  switch (fault.kind) {
    case "refused": {
      const error = new HandshakeError("ERR_AUTHENTICATION", message, {
        endpoint,
        status: fault.status ?? 400,
        cause: fault.cause,
      });
      const refused: FaultEvent = { type: "peer:refused", address, mechanism, error };
      // Rejected credentials are reported on both sides.
      return fault.status === undefined ? [refused] : [refused, authError(endpoint, fault.status, peer)];
    }
    case "auth":
      return [authError(endpoint, fault.status ?? 400, peer)];
    case "protocol": {
      const error = new ProtocolError(message, fault.code as ProtocolErrorCode, { endpoint });
      return [{ type: "handshake:error:protocol", address: endpoint, ...peer, error }];
    }
    case "other": {
      const error = new HandshakeError("ERR_HANDSHAKE", message, { endpoint });
      return [{ type: "handshake:error:other", address: endpoint, ...peer, error }];
    }
  }
}

export function tooLargeText(
  fault: StreamFault,
  { maxMessageSize, maxFrames }: Pick<InStream, "maxMessageSize" | "maxFrames">,
): string | undefined {
  if (fault === "too-long") return `a message of more than ${maxMessageSize} bytes (maxMessageSize)`;
  if (fault !== "too-many-frames") return undefined;
  return `a message of more than ${maxFrames} ${maxFrames === 1 ? "frame" : "frames"}`;
}

const LOSSES: Partial<Record<DisconnectReason, string>> = {
  remote: "the peer ended it",
  heartbeat: "the peer was silent for too long",
  local: "this side ended it",
};

export function lostError(reason: DisconnectReason, remote: string): TransportError {
  const why = LOSSES[reason] ?? "for no known reason";
  return new TransportError("ERR_TRANSPORT", `The connection to ${remote} was lost: ${why}`, {
    endpoint: remote,
  });
}

function authError(endpoint: string, status: number, peer: { readonly peer?: string }): FaultEvent {
  const message = `Handshake at ${endpoint} failed: authentication failed (status ${status})`;
  const error = new HandshakeError("ERR_AUTHENTICATION", message, { endpoint, status });
  return {
    type: "handshake:error:auth",
    address: endpoint,
    ...peer,
    error: error as HandshakeError & { status: number },
  };
}

export function noMemory(): Error {
  return Object.assign(new Error("this process has no memory for the peer's message"), { code: "ENOMEM" });
}

export function disconnectError(
  cause: Error | undefined,
  reason: DisconnectReason,
  peer: { readonly remote: string },
): ShoalError | undefined {
  if (cause === undefined && reason !== "protocol") return undefined;
  const { remote } = peer;
  if (reason !== "protocol") return transportError(cause as Error, "keep the connection to", remote);
  const what = cause?.message ?? "it broke the rules of its socket type";
  return new ProtocolError(`${remote} was disconnected: ${what}`, "ERR_PROTOCOL", { endpoint: remote });
}
