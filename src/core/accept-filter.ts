/**
 * Connections as they are accepted, before Node.js makes a stream of them. So they can be refused: an address that may not
 * connect costs some 20 µs of processor time, a stream five times as much; the refused peer gets a reset, so neither side keeps
 * the connection in TIME_WAIT. Or they are made a stream of another kind.
 */
import type { Server } from "node:net";

/** What Node.js calls for each accepted connection; it is not documented, and absent in other runtimes. */
interface WithAccept {
  readonly _handle: {
    onconnection?: ((status: number, accepted?: AcceptedHandle) => void) | null;
  } | null;
}

/** An accepted connection of which no stream was made. */
export interface AcceptedHandle {
  /** Whether a stream of it can have memory of its own to read into. */
  readonly useUserBuffer?: unknown;
  getpeername?(out: { address?: string; port?: number }): number;
  reset?(closed: () => void): number;
  close?(): void;
}

/**
 * Asks `admits` of each connection's address while `server` listens. Where the runtime has no such place, nothing is asked:
 * the caller asks again of the streams it gets.
 *
 * @param server not listening yet
 * @param admits gets the address as the system has it, an IPv4 one maybe in the form of IPv6; it must not throw
 */
export function filterAccepts(server: Server, admits: (address: string) => boolean): void {
  interceptAccepts(server, admits, () => false);
}

/** Who has connected, as the system has it; a peer that is gone already has no address, one of a path has none either. */
export interface AcceptedPeer {
  readonly address?: string;
  readonly port?: number;
}

/**
 * The same, and gives `take` each connection that is not refused.
 *
 * @param take returns whether it has made a stream of it; else Node.js does. It must not throw
 */
export function interceptAccepts(
  server: Server,
  admits: ((address: string) => boolean) | undefined,
  take: (accepted: AcceptedHandle, peer: AcceptedPeer) => boolean,
): void {
  server.on("listening", () => {
    const handle = (server as unknown as WithAccept)._handle;
    const original = handle?.onconnection;
    if (handle === null || typeof original !== "function") return;
    handle.onconnection = function (this: unknown, status, accepted) {
      if (status === 0 && accepted !== undefined) {
        const peer: { address?: string; port?: number } = {};
        accepted.getpeername?.(peer);
        if (admits !== undefined && peer.address !== undefined && !admits(peer.address)) {
          if (accepted.reset?.(ignore) !== 0) accepted.close?.();
          return;
        }
        if (take(accepted, peer)) return;
      }
      Reflect.apply(original, this, [status, accepted]);
    };
  });
}

function ignore(): void {}
