/**
 * The lists of all sources as one: what a node dials. Pure.
 *
 *   list of a source ──cut, checked──> AddressLists ──in turns, up to the bound──> names and addresses ──looked up──> addresses
 *
 * When there are more addresses than a node dials, each source gets as many as the others: one that lists thousands does not
 * hide the few of another.
 */
import { isIP } from "node:net";
import { MAX_SEEDS } from "../bounds.js";
import { canonicalAddress, joinAddress, readAddress } from "../net/addresses.js";

/** A list of a source, without what is not usable. */
export interface CheckedList {
  readonly addresses: readonly string[];
  /** Entries that are not "host:port". */
  readonly junk: number;
  /** Entries beyond the bound. */
  readonly excess: number;
}

/** Checks a list that a source gave; `undefined` for what is not a list. */
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

/** The lists by their sources. */
export class AddressLists {
  readonly #lists = new Map<string, readonly string[]>();
  /** Whether there are more than a node dials. */
  overflows = false;

  /** A source's list, which replaces the one before. */
  set(source: string, addresses: readonly string[]): void {
    this.#lists.set(source, addresses);
  }

  get(source: string): readonly string[] {
    return this.#lists.get(source) ?? [];
  }

  /**
   * What is to be dialled, each once, at most `MAX_SEEDS`.
   *
   * @param resolve the addresses of an entry: itself, or those of its name that are known now
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

/** What one set has and the other has not. */
export function changesOf(
  before: ReadonlySet<string>,
  after: ReadonlySet<string>,
): { readonly added: string[]; readonly removed: string[] } {
  return {
    added: [...after].filter((address) => !before.has(address)),
    removed: [...before].filter((address) => !after.has(address)),
  };
}
