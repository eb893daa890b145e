/** Nobody looks at a page's peers; stands in for engine/zmtp/peer-list.ts. */
export const LISTS_PEERS = false;
export function listPeers(): never[] {
  return [];
}
