/**
 * Merges the sources' lists into the addresses to dial.
 *
 *   list of a source ──cut, checked──> AddressLists ──in turns, up to the bound──> names and addresses ──looked up──> addresses
 *
 * Above the limit each source gets an equal share.
 */
import { isIP } from "node:net";
import { MAX_SEEDS } from "../bounds.js";
import { canonicalAddress, joinAddress, readAddress } from "../net/addresses.js";

export interface CheckedList {
  readonly addresses: readonly string[];
  /** Entries that are not "host:port". */
  readonly junk: number;
  /** Above the limit. */
  readonly excess: number;
}

/** `undefined` if it is not an array. */
export function checkedList(given: unknown): CheckedList | undefined {
  if (!Array.isArray(given)) return undefined;
  const addresses = new Set<string>();
  let junk = 0;
  const length = Math.min(given.length, MAX_SEEDS);
  for (let i = 0; i < length; i++) {
    const address: unknown = given[i];
    const parts = readAddress(address);
    if (parts === undefined) junk += 1;
    else
      addresses.add(
        isIP(parts.host) === 0
          ? joinAddress(parts.host.toLowerCase(), parts.port)
          : canonicalAddress(address as string),
      );
  }
  return { addresses: [...addresses], junk, excess: given.length - length };
}

export class AddressLists {
  readonly #lists = new Map<string, readonly string[]>();
  overflows = false;

  set(source: string, addresses: readonly string[]): void {
    this.#lists.set(source, addresses);
  }

  get(source: string): readonly string[] {
    return this.#lists.get(source) ?? [];
  }

  /**
   * At most `MAX_SEEDS` distinct addresses.
   * @param resolve an entry's addresses: itself, or its name's known ones
   */
  merged(resolve: (entry: string) => readonly string[]): Set<string> {
    const merged = new Set<string>();
    const lists = [...this.#lists.values()];
    const longest = lists.reduce((most, { length }) => Math.max(most, length), 0);
    this.overflows = false;
    for (let i = 0; i < longest; i++) {
      for (const list of lists) {
        const entry = list[i];
        if (entry === undefined) continue;
        for (const address of resolve(entry)) {
          if (merged.size < MAX_SEEDS || merged.has(address)) merged.add(address);
          else {
            this.overflows = true;
            return merged;
          }
        }
      }
    }
    return merged;
  }
}
