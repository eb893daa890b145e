/**
 * What brokers of several sites send to each other (the Guide's chapter 3, peering), as frames.
 *
 *   state   PUB -> SUB        site | free workers, decimal
 *   cloud   ROUTER -> ROUTER  site | address | "" | body…     a request; the asking site comes first at the receiver
 *                             site | address | "" | body…     its reply, the same way back
 *
 * The address is the asking site's own affair; the Guide's puts the client's routing id there, shoal a number that
 * it uses once, so that a late reply ends nothing but the request it was for.
 */

/** Bytes of a site's name at most: it is a routing id (37/ZMTP, The Identity Property). */
export const MAX_NAME = 255;
/** Characters of the largest number of free workers that is believed. */
const MAX_DIGITS = 9;

/** What a site has to spare. */
export interface SiteState {
  readonly site: string;
  readonly capacity: number;
}

/** @returns `undefined` for what is no state */
export function parseState(frames: readonly Buffer[]): SiteState | undefined {
  const [site, capacity] = frames;
  if (frames.length !== 2 || site === undefined || capacity === undefined) return undefined;
  if (site.length === 0 || site.length > MAX_NAME) return undefined;
  const digits = capacity.toString("latin1");
  if (digits.length > MAX_DIGITS || !/^[0-9]+$/.test(digits)) return undefined;
  return { site: site.toString(), capacity: Number(digits) };
}

export function stateFrames({ site, capacity }: SiteState): string[] {
  return [site, String(capacity)];
}
