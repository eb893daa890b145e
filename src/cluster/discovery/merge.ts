/**
 * Merges the sources' lists into the addresses to dial.
 *
 *   list of a source ──cut, checked──> in turns, up to the bound ──> names and addresses ──looked up──> addresses
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

/**
 * Merges lists in turns: above `MAX_SEEDS` distinct addresses each gets an equal share.
 *
 * @param resolve an entry's addresses: itself, or its name's known ones
 */
export function merged(
  lists: readonly (readonly string[])[],
  resolve: (entry: string) => readonly string[],
): { readonly addresses: Set<string>; readonly overflows: boolean } {
  const addresses = new Set<string>();
  const longest = lists.reduce((most, { length }) => Math.max(most, length), 0);
  for (let i = 0; i < longest; i++) {
    for (const list of lists) {
      const entry = list[i];
      if (entry === undefined) continue;
      for (const address of resolve(entry)) {
        if (addresses.size >= MAX_SEEDS && !addresses.has(address)) return { addresses, overflows: true };
        addresses.add(address);
      }
    }
  }
  return { addresses, overflows: false };
}
