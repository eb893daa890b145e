/**
 * Refuses connections as they are accepted, before Node.js makes a stream of them: an address that may not connect costs some
 * 20 µs of processor time, a stream five times as much. The refused peer gets a reset, so neither side keeps the connection in
 * TIME_WAIT.
 */
import type { Server } from "node:net";

/** What Node.js calls for each accepted connection; it is not documented, and absent in other runtimes. */
interface WithAccept {
  readonly _handle: {
    onconnection?: ((status: number, accepted?: AcceptedHandle) => void) | null;
  } | null;
}

interface AcceptedHandle {
  getpeername?(out: { address?: string }): number;
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
  server.on("listening", () => {
    const handle = (server as unknown as WithAccept)._handle;
    const original = handle?.onconnection;
    if (handle === null || typeof original !== "function") return;
    handle.onconnection = function (this: unknown, status, accepted) {
      if (status === 0 && accepted !== undefined && isRefused(accepted, admits)) {
        if (accepted.reset?.(ignore) !== 0) accepted.close?.();
      } else Reflect.apply(original, this, [status, accepted]);
    };
  });
}

function isRefused(accepted: AcceptedHandle, admits: (address: string) => boolean): boolean {
  const peer: { address?: string } = {};
  // A peer that is gone already has no address; a path's has none either.
  return accepted.getpeername?.(peer) === 0 && peer.address !== undefined && !admits(peer.address);
}

function ignore(): void {}
