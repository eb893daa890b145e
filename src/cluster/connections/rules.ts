/**
 * The list of a connection manager, and what its status is. Pure: what names resolve to, what streams there are and which
 * addresses are the node's own come in.
 *
 *   CONNECTING ──proved──> CONNECTED ──ended──> BROKEN ──back-off──> CONNECTING
 *       └──refused, no answer, another key──────────^                    SELF: the node met itself there
 */
import { InvalidArgumentError } from "../../core/errors.js";
import { MAX_KEPT_ADDRESSES } from "../bounds.js";

/** How it stands with an address; `self`: it is this node's own. */
export type ConnectionState = "self" | "connecting" | "connected" | "broken";

/** Why there is no connection. */
export interface ConnectionError {
  /**
   * The system's, such as `ECONNREFUSED` or `ETIMEDOUT`; `ENOTFOUND` for a name without an address, `ERR_AUTHENTICATION` where one end
   * refused the other, `ERR_HANDSHAKE` where what is there does not speak as a node, `EAGAIN` where this node has 512 streams already.
   */
  readonly code: string;
  readonly message: string;
}

/** How a stream to an address stands. Times are in ms of the wall clock. */
export interface StreamState {
  readonly state: ConnectionState;
  readonly since: number;
  /** Attempts since it was connected last, the one that runs included. */
  readonly attempts: number;
  readonly error: ConnectionError | undefined;
  /** Where the node at the other end says that it is. */
  readonly peer: string | undefined;
}

/** One row of a status. */
export interface ConnectionRow extends StreamState {
  /** As it was given. */
  readonly address: string;
  /** What it resolves to, "host:port"; `undefined` for a name that has no address now. */
  readonly resolved: string | undefined;
}

/** An address without a port has this one: that of the manager, or of the node. */
export function withPort(address: string, port: number): string {
  // More than one colon: an address of IPv6 by itself.
  const isBare = !address.startsWith("[") && address.indexOf(":") !== address.lastIndexOf(":");
  if (!isBare && /:\d+$/.test(address)) return address;
  return isBare ? `[${address}]:${port}` : `${address}:${port}`;
}

export class ConnectionList {
  /** When each was added, ms of the wall clock; in the order in which they were given. */
  readonly #entries = new Map<string, number>();

  /** "host:port" each. */
  get addresses(): readonly string[] {
    return [...this.#entries.keys()];
  }

  /** @throws InvalidArgumentError `EINVAL` for more than 448 */
  check(wanted: ReadonlySet<string>): void {
    if (wanted.size > MAX_KEPT_ADDRESSES)
      throw new InvalidArgumentError(
        `a list has ${MAX_KEPT_ADDRESSES} addresses at most; got ${wanted.size}`,
      );
  }

  /**
   * Replaces the list.
   *
   * @param addresses "host:port" each, checked
   * @returns what is new and what is gone
   * @throws InvalidArgumentError `EINVAL` for more than 448; nothing has changed then
   */
  set(addresses: readonly string[], now: number): { readonly added: string[]; readonly removed: string[] } {
    const wanted = new Set(addresses);
    this.check(wanted);
    const removed = this.addresses.filter((address) => !wanted.has(address));
    const added = [...wanted].filter((address) => !this.#entries.has(address));
    const since = new Map(this.#entries);
    this.#entries.clear();
    for (const address of wanted) this.#entries.set(address, since.get(address) ?? now);
    return { added, removed };
  }

  /** The addresses whose streams are kept. @param resolve what an entry is now; none for an unknown name */
  wanted(resolve: (address: string) => readonly string[]): Set<string> {
    return new Set(this.addresses.flatMap((address) => resolve(address)));
  }

  /** A row for each address that an entry resolves to, and one for a name without any. @param errorOf why a name has none, where that is known */
  status(
    resolve: (address: string) => readonly string[],
    streamOf: (address: string) => StreamState,
    errorOf: (address: string) => Error | undefined = () => undefined,
  ): ConnectionRow[] {
    return [...this.#entries].flatMap(([address, since]): ConnectionRow[] => {
      const found = resolve(address);
      if (found.length > 0) return found.map((resolved) => ({ address, resolved, ...streamOf(resolved) }));
      const message = errorOf(address)?.message ?? "the name has no address now";
      const error = { code: "ENOTFOUND", message };
      return [{ address, resolved: undefined, state: "broken", since, attempts: 0, error, peer: undefined }];
    });
  }
}
