/**
 * States of a connection manager's addresses.
 *
 *   CONNECTING ──proved──> CONNECTED ──ended──> BROKEN ──back-off──> CONNECTING
 *       └──refused, no answer, another key──────────^                    SELF: the node met itself there
 */
export type ConnectionState = "self" | "connecting" | "connected" | "broken";

export interface ConnectionError {
  /**
   * The system's code, such as `ECONNREFUSED` or `ETIMEDOUT`; `ENOTFOUND` for a name without an address;
   * `ERR_AUTHENTICATION` if one end refused the other; `ERR_HANDSHAKE` if the other end is not a node; `EAGAIN` if this
   * node already has 768 streams.
   */
  readonly code: string;
  readonly message: string;
}

export interface StreamState {
  /** `self`: the address is this node's own, and is not dialled. `broken`: it is dialled again, with back-off. */
  readonly state: ConnectionState;
  /** Wall clock in ms of the last change of state. */
  readonly since: number;
  /** Attempts since the last connection, including the current one. */
  readonly attempts: number;
  /** Why the last attempt failed. */
  readonly error: ConnectionError | undefined;
  /** As the other end reports it. */
  readonly peer: string | undefined;
}

export function withPort(address: string, port: number): string {
  // More than one colon without brackets is an IPv6 address.
  const isBare = !address.startsWith("[") && address.indexOf(":") !== address.lastIndexOf(":");
  if (!isBare && /:\d+$/.test(address)) return address;
  return isBare ? `[${address}]:${port}` : `${address}:${port}`;
}
