/**
 * Messages between brokers of different sites (the Guide's chapter 3, peering).
 *
 *   state   PUB -> SUB        site | free workers, decimal
 *   cloud   ROUTER -> ROUTER  site | address | "" | body…     a request; the asking site comes first at the receiver
 *                             site | address | "" | body…     its reply, the same way back
 *
 * The requesting site chooses the address. The Guide's is the client's routing id; shoal's is a number used once, so
 * that a late reply can only end its own request.
 */

/** Bytes of a site name, which is a routing id (37/ZMTP, The Identity Property). */
export const MAX_NAME = 255;
const MAX_DIGITS = 9;

export interface SiteState {
  readonly site: string;
  readonly capacity: number;
}

/** @returns `undefined` if it is not a state message */
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
