/**
 * List of a connection manager and its status. Pure.
 *
 *   CONNECTING ──proved──> CONNECTED ──ended──> BROKEN ──back-off──> CONNECTING
 *       └──refused, no answer, another key──────────^                    SELF: the node met itself there
 */
import { InvalidArgumentError } from "../../core/errors.js";
import { MAX_KEPT_ADDRESSES } from "../bounds.js";

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
  readonly state: ConnectionState;
  readonly since: number;
  /** Since the last connection, including the current one. */
  readonly attempts: number;
  readonly error: ConnectionError | undefined;
  /** As the other end reports it. */
  readonly peer: string | undefined;
}

export interface ConnectionRow extends StreamState {
  readonly address: string;
  /** "host:port"; `undefined` while a name has no address. */
  readonly resolved: string | undefined;
}

export function withPort(address: string, port: number): string {
  // More than one colon without brackets is an IPv6 address.
  const isBare = !address.startsWith("[") && address.indexOf(":") !== address.lastIndexOf(":");
  if (!isBare && /:\d+$/.test(address)) return address;
  return isBare ? `[${address}]:${port}` : `${address}:${port}`;
}

export class ConnectionList {
  /** Wall clock in ms when each was added; in the given order. */
  readonly #entries = new Map<string, number>();

  /** "host:port" each. */
  get addresses(): readonly string[] {
    return [...this.#entries.keys()];
  }

  /** @throws InvalidArgumentError `EINVAL` for more than 448 */
  check(wanted: ReadonlySet<string>): void {
    if (wanted.size > MAX_KEPT_ADDRESSES)
      throw new InvalidArgumentError(
        `a list can have at most ${MAX_KEPT_ADDRESSES} addresses; got ${wanted.size}`,
      );
  }

  /**
   * @param addresses "host:port" each, checked
   * @returns those that were removed
   * @throws InvalidArgumentError `EINVAL` for more than 448; nothing has changed then
   */
  set(addresses: readonly string[], now: number): string[] {
    const wanted = new Set(addresses);
    this.check(wanted);
    const removed = this.addresses.filter((address) => !wanted.has(address));
    const since = new Map(this.#entries);
    this.#entries.clear();
    for (const address of wanted) this.#entries.set(address, since.get(address) ?? now);
    return removed;
  }

  /**
   * Addresses whose streams are kept.
   *
   * @param resolve addresses of an entry; none for an unknown name
   */
  wanted(resolve: (address: string) => readonly string[]): Set<string> {
    return new Set(this.addresses.flatMap((address) => resolve(address)));
  }

  /**
   * One row per address that an entry resolves to, or one for a name without addresses.
   *
   * @param errorOf reason why a name has none, if known
   */
  status(
    resolve: (address: string) => readonly string[],
    streamOf: (address: string) => StreamState,
    errorOf: (address: string) => Error | undefined = () => undefined,
  ): ConnectionRow[] {
    return [...this.#entries].flatMap(([address, since]): ConnectionRow[] => {
      const found = resolve(address);
      if (found.length > 0) return found.map((resolved) => ({ address, resolved, ...streamOf(resolved) }));
      const message = errorOf(address)?.message ?? "the name has no address";
      const error = { code: "ENOTFOUND", message };
      return [{ address, resolved: undefined, state: "broken", since, attempts: 0, error, peer: undefined }];
    });
  }
}
