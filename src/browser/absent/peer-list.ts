/** Nobody looks at a page's peers; stands in for engine/zmtp/peer-list.ts. */
export function listPeers(): never[] {
  return [];
}
