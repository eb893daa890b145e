/** Replaces engine/zmtp/routing/relaying.ts: a page runs no proxies. */

export const RELAYS = false;

const none = (): undefined => undefined;

export {
  none as balancedSink,
  none as fairSource,
  none as filteredSource,
  none as pairSink,
  none as publishedSink,
  none as routedSink,
};
